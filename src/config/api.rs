//! `[api.oidc]`: whose tokens are taken at the API besides our own, and what their app roles allow.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::alert::{Mode, SourceName};
use crate::http::{Principals, Role, Source};
use crate::ingest::jwt::Identity;
use crate::store::{Bound, Scope};

use super::jwt;
use super::reader::Section;

/// The claim in which Entra ID puts app roles.
const ROLES: &str = "roles";

/// Reads the section, if it is there.
pub(super) fn read(root: &Section<'_>, sources: &[Source]) -> Option<Principals> {
    let api = root.section_if_there("api")?;
    let oidc = api.section("oidc");
    api.finish();
    let oidc = oidc?;
    let tenant = tenant(&oidc);
    let identity = identity(&oidc, tenant);
    let roles = roles(&oidc, sources);
    oidc.finish();
    Some(Principals { identity: identity?, roles: roles? })
}

/// Entra ID's tenant, if it is Entra ID that issues.
fn tenant(oidc: &Section<'_>) -> Option<Uuid> {
    let text = oidc.text("tenant")?;
    let tenant: Option<Uuid> = text.parse().ok();
    if tenant.is_none() {
        let remedy =
            "write the directory (tenant) id of your Entra ID, a GUID; no token of another tenant is taken";
        oidc.complain("tenant", format!("{text:?} is no GUID"), remedy);
    }
    tenant
}

fn identity(oidc: &Section<'_>, tenant: Option<Uuid>) -> Option<Identity> {
    let of_tenant = tenant.map(|tenant| format!("https://login.microsoftonline.com/{tenant}/v2.0"));
    let name = oidc.text("issuer").map(ToOwned::to_owned).or(of_tenant);
    if name.is_none() && !oidc.has("tenant") {
        let remedy =
            "write tenant = \"...\" for Entra ID, or issuer = \"https://...\" as its tokens say in iss";
        oidc.complain("issuer", "is missing, and so is tenant", remedy);
    }
    let audiences = jwt::audiences(
        oidc,
        "audience = [\"...\"]: for Entra ID the client id of the bridge's own registration",
    );
    let algorithms = jwt::algorithms(oidc);
    let roles = jwt::text(oidc, "roles_claim", ROLES);
    Some(Identity {
        issuer: jwt::issuer_named(oidc, &name?)?,
        audiences: audiences?,
        algorithms: algorithms?,
        tenant: tenant.map(|tenant| tenant.to_string()),
        roles: roles?,
    })
}

fn roles(oidc: &Section<'_>, sources: &[Source]) -> Option<Vec<Role>> {
    oidc.require("roles", "add [[api.oidc.roles]] with role = \"...\" and scopes = [\"...\"]");
    let read: Vec<Option<Role>> = oidc.list("roles").iter().map(|section| role(section, sources)).collect();
    let roles: Vec<Role> = read.into_iter().collect::<Option<_>>()?;
    let mut known = BTreeSet::new();
    if let Some(twice) = roles.iter().find(|role| !known.insert(&role.name)) {
        oidc.complain("roles", format!("{:?} stands twice", twice.name), "put all its scopes into one");
    }
    Some(roles)
}

fn role(section: &Section<'_>, sources: &[Source]) -> Option<Role> {
    let name = section.required_text("role", "write the role's value, as tokens have it");
    let scopes = scopes(section);
    let bound = bound(section, sources);
    let names_source = section.has("source");
    section.finish();
    let scopes = scopes?;
    let asks = scopes.contains(&Scope::ActionsWrite);
    if asks && !names_source {
        let remedy = "write source = \"...\", one whose scheme is \"api\"";
        section.complain("source", "is missing: whose actions does actions:write ask for?", remedy);
    } else if !asks && names_source {
        section.complain("source", "is for the scope actions:write", "add the scope, or take source away");
    }
    Some(Role { name: name?.to_owned(), scopes, bound })
}

fn scopes(section: &Section<'_>) -> Option<Vec<Scope>> {
    let remedy = "write scopes = [\"actions:read\"]; README.md has a table of them";
    section.require("scopes", remedy);
    let names = section.texts("scopes")?;
    if names.is_empty() {
        section.complain("scopes", "names none, so the role would open nothing", remedy);
    }
    let scopes: Vec<Option<Scope>> =
        names.into_iter().map(|name| section.parse("scopes", name, remedy)).collect();
    scopes.into_iter().collect()
}

/// For which source the role may ask for actions, and how far those may go.
fn bound(section: &Section<'_>, sources: &[Source]) -> Option<Bound> {
    let modes = "write shadow, approve or enforce";
    let mode: Option<Mode> = section.text("mode").and_then(|text| section.parse("mode", text, modes));
    let Some(text) = section.text("source") else {
        if section.has("mode") {
            section.complain("mode", "stands without source", "add source = \"...\", or take it away");
        }
        return None;
    };
    let source: SourceName = section.parse("source", text, "write the name of a source")?;
    if !sources.iter().any(|known| known.name == source && known.gate.takes_api_tokens()) {
        let remedy = "name a source of this configuration whose scheme is \"api\"";
        section.complain("source", format!("{source} is no source that asks for actions by the API"), remedy);
    }
    Some(Bound { source, mode })
}
