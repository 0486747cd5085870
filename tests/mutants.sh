#!/bin/sh
# Tries mutants of what decides: `tests/mutants.sh policy` or `tests/mutants.sh approvals`, then options of cargo-mutants.
#
# The whole crate takes too long to build for each of them, so a crate is made in a folder of its own, of what the mutants are in and
# of the tests that should find them. Needs `cargo install cargo-mutants --locked`. What comes out is in docs/mutation-testing.md.
set -euf

what=$1
shift
here=$(cd "$(dirname "$0")/.." && pwd)
crate=${MUTANTS_FOLDER:-/dev/shm}/quarantine-bridge-mutants-$what
mkdir -p "$crate"
cd "$crate"
rm -rf src tests
cp "$here/Cargo.toml" "$here/Cargo.lock" .

# Keeps of Cargo.toml no target but the library and the tests.
sed -i -e '/^\[\[/,/^$/d' -e '/^default-run/d' Cargo.toml

# Keeps of the tests the modules that are named, and what they are compiled with.
main() {
    sed -n '1,/^mod /p' "$here/tests/it/main.rs" | grep -v '^mod '
    for module in "$@"; do echo "mod $module;"; done
}

case $what in
policy)
    mkdir -p src tests/it/harness
    cp -r "$here/src/alert" "$here/src/policy" src/
    echo '//! What decides.
pub mod alert;
pub mod policy;' > src/lib.rs
    for module in policy policy_pure policy_property; do cp "$here/tests/it/$module.rs" tests/it/; done
    cp "$here/tests/it/harness/action.rs" tests/it/harness/
    echo 'mod action;
pub(crate) use action::action;
pub(crate) const MACHINE: &str = "1111111111aaaaaaaaaa1111111111aaaaaaaaaa";
pub(crate) const SHA1: &str = "2222222222bbbbbbbbbb2222222222bbbbbbbbbb";
pub(crate) fn start_of_time() -> jiff::Timestamp { "2026-03-01T12:00:00Z".parse().unwrap() }' > tests/it/harness/mod.rs
    main harness policy policy_pure policy_property > tests/it/main.rs
    export POLICY_CASES=2000
    files='--file src/policy/**'
    ;;
approvals)
    cp -r "$here/src" "$here/tests" .
    cp "$here/README.md" "$here/openapi.yaml" .
    main approvals harness links tokens > tests/it/main.rs
    files="--file src/store/approvals.rs --file src/store/words.rs --file src/store/links.rs --file src/alert/who.rs"
    ;;
*)
    echo "policy or approvals" >&2
    exit 64
    ;;
esac

# shellcheck disable=SC2086
exec cargo mutants --in-place --timeout 120 $files "$@" -- --test it
