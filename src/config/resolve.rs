//! `[sources.NAME.resolve]`: by what a source's devices and files may be found.

use crate::dispatch::resolve::{By, IdRule, Rules};

use super::reader::Section;

/// Reads the section; what it does not say is as usual.
pub(super) fn read(source: &Section<'_>) -> Rules {
    let section = source.section_or_empty("resolve");
    let mut rules = Rules::default();
    if section.boolean("confirm_id") == Some(true) {
        rules.id = IdRule::Confirmed;
    }
    for by in [By::AadDeviceId, By::Fqdn, By::HostName, By::Ip, By::Sha256, By::Md5] {
        if let Some(is_on) = section.boolean(by.key()) {
            rules.set(by, is_on);
        }
    }
    section.finish();
    rules
}
