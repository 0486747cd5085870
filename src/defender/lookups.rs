//! Looks up devices and files: builds the address of a question and reads the answer leniently.

use serde_json::Value;
use url::Url;

use crate::alert::{DnsName, Found, LookupApi, Machine, MachineId, Question};

use super::read::{self, ReadError};
use super::{Defender, Token, traits};
use crate::microsoft::text;

/// How many pages of devices are read. A host name's beginning may fit many; a page holds up to 10,000.
const PAGES_MAX: usize = 5;

/// What came of a question, and how many calls it took: each counts against Defender's limits.
#[derive(Debug)]
pub struct LookedUp {
    /// What was found.
    pub found: Result<Found, ReadError>,
    /// How many calls were made.
    pub calls: u32,
}

impl Defender {
    /// Asks one question: no retry, no redirect. That there is nothing is an answer.
    pub async fn look_up(&self, token: &Token, question: &Question) -> LookedUp {
        let mut calls = 0;
        let mut found = self.ask(token, self.address(question, Quote::Quoted), question, &mut calls).await;
        // Whether a GUID stands in quotes is not documented (reference, defender-api 3.2).
        let by_guid = matches!(question, Question::MachinesByAadDeviceId(_));
        if by_guid && matches!(found, Err(ReadError::BadRequest(_))) {
            found = self.ask(token, self.address(question, Quote::Bare), question, &mut calls).await;
        }
        let found = match (found, question.api()) {
            (Err(ReadError::NotFound(_)), LookupApi::Machines) => Ok(Found::Machines(Vec::new())),
            (Err(ReadError::NotFound(_)), LookupApi::Files) => Ok(Found::File(None)),
            (Err(ReadError::NotFound(_)), LookupApi::FileStats) => Ok(Found::Stats(None)),
            (Err(ReadError::NotFound(_)), LookupApi::FileMachines) => Ok(Found::SeenOn(Vec::new())),
            // The right to read machines is looked at with the token; that to read files is not needed by all.
            (
                Err(ReadError::Forbidden(why)),
                LookupApi::Files | LookupApi::FileStats | LookupApi::FileMachines,
            ) => Ok(Found::Forbidden(why)),
            (Err(error @ (ReadError::BadRequest(_) | ReadError::TooLong | ReadError::ForeignLink)), _) => {
                Ok(Found::Refused(error.to_string()))
            }
            (found, _) => found,
        };
        LookedUp { found, calls }
    }

    async fn ask(
        &self,
        token: &Token,
        url: Url,
        question: &Question,
        calls: &mut u32,
    ) -> Result<Found, ReadError> {
        let api = question.api().as_str();
        let mut url = url;
        let mut list = match question {
            Question::FileMachines(_) => Found::SeenOn(Vec::new()),
            _ => Found::Machines(Vec::new()),
        };
        for _ in 0..PAGES_MAX {
            *calls = calls.saturating_add(1);
            let answer = self.get(token, url, api).await?;
            match question {
                Question::Machine(_) => {
                    return Ok(Found::Machines(vec![machine(&read::body(&answer, self.now())?)?]));
                }
                Question::FileBySha1(_) | Question::FileBySha256(_) | Question::FileByMd5(_) => {
                    return Ok(Found::File(Some(traits::file(&read::body(&answer, self.now())?))));
                }
                Question::FileStats(sha1) => {
                    let body = read::body(&answer, self.now())?;
                    return Ok(Found::Stats(Some(traits::stats(&body, *sha1)?)));
                }
                Question::FileMachines(_)
                | Question::MachinesByAadDeviceId(_)
                | Question::MachinesByName(_)
                | Question::MachinesByHostName(_)
                | Question::MachinesByIp { .. } => {}
            }
            let page = read::page(&answer, self.now())?;
            match &mut list {
                Found::SeenOn(ids) => ids.extend(page.items.iter().filter_map(machine_id)),
                Found::Machines(all) => {
                    let machines: Result<Vec<_>, _> = page.items.iter().map(machine).collect();
                    all.extend(machines?.into_iter().filter(|machine| may_fit(machine, question)));
                }
                Found::File(_) | Found::Stats(_) | Found::Forbidden(_) | Found::Refused(_) => {}
            }
            let Some(next) = page.next_link else {
                return Ok(list);
            };
            url = self.same_origin(&next)?;
        }
        Err(ReadError::TooLong)
    }

    /// Builds the address. Only typed values go into it, none of which holds a quote.
    fn address(&self, question: &Question, quote: Quote) -> Url {
        let filter = match question {
            Question::Machine(id) => return self.url(&["machines", &id.to_string()]),
            Question::FileBySha1(sha1) => return self.url(&["files", &sha1.to_string()]),
            Question::FileBySha256(sha256) => return self.url(&["files", &sha256.to_string()]),
            Question::FileByMd5(md5) => return self.url(&["files", &md5.to_string()]),
            Question::FileStats(sha1) => return self.url(&["files", &sha1.to_string(), "stats"]),
            Question::FileMachines(sha1) => return self.url(&["files", &sha1.to_string(), "machines"]),
            Question::MachinesByIp { ip, at } => {
                return self.url(&["machines", &format!("findbyip(ip='{ip}',timestamp={at:.0})")]);
            }
            Question::MachinesByAadDeviceId(id) => match quote {
                Quote::Quoted => format!("aadDeviceId eq '{id}'"),
                Quote::Bare => format!("aadDeviceId eq {id}"),
            },
            Question::MachinesByName(name) => format!("computerDnsName eq '{name}'"),
            Question::MachinesByHostName(name) => format!("startswith(computerDnsName,'{name}')"),
        };
        let mut url = self.url(&["machines"]);
        url.query_pairs_mut().append_pair("$filter", &filter);
        url
    }
}

/// Leaves out devices that only begin like a host name: those with a longer one, unless the name may be cut.
fn may_fit(machine: &Machine, question: &Question) -> bool {
    let Question::MachinesByHostName(name) = question else {
        return true;
    };
    let have = machine.dns_name.as_ref().map(DnsName::host_name);
    name.may_be_cut() || have == Some(name.host_name())
}

/// How a GUID is written in a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    Quoted,
    Bare,
}

/// Reads the record of a device.
///
/// One without a proper id, or merged into one without, makes the whole answer unreadable: it might be the one that
/// makes a name ambiguous.
fn machine(item: &Value) -> Result<Machine, ReadError> {
    let unreadable = |what: &str| ReadError::Garbage(format!("a device {what}"));
    let id = machine_id(item);
    let merged_into = match text(item, "mergedIntoMachineId").filter(|id| !id.is_empty()) {
        Some(id) => Some(id.parse().or(Err(unreadable("that is merged into no device")))?),
        None => None,
    };
    let word = |name: &str| text(item, name).filter(|word| !word.is_empty());
    Ok(Machine {
        id: id.ok_or(unreadable("without a machine id"))?,
        dns_name: word("computerDnsName").and_then(|name| name.parse().ok()),
        aad_device_id: word("aadDeviceId").and_then(|id| id.parse().ok()),
        last_ip: word("lastIpAddress").and_then(|ip| ip.parse().ok()),
        // The documentation writes the name in lower case, real answers do not.
        onboarding_status: word("onboardingStatus").or_else(|| word("onboardingstatus")),
        health_status: word("healthStatus"),
        os_platform: word("osPlatform"),
        merged_into,
        is_potential_duplication: item
            .get("isPotentialDuplication")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        traits: traits::machine(item),
    })
}

fn machine_id(item: &Value) -> Option<MachineId> {
    text(item, "id").and_then(|id| id.parse().ok())
}
