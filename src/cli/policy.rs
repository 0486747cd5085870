//! `policy test`.

use clap::{Args as ClapArgs, Subcommand};

use super::policy_test;

#[derive(Debug, ClapArgs)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Compare what the guards decide about alerts and facts with what is expected: for your own policy, in CI.
    Test(policy_test::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let What::Test(arguments) = &arguments.what;
    policy_test::run(arguments)
}
