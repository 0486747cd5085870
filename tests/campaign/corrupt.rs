//! A database that was damaged while nobody served it: seen, or harmless, but never acted on as if it were sound.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use crate::random::Random;
use crate::report::{Plan, Row};
use crate::site::{FAST, Site, wait};

const FLIPS: usize = 24;
const CUTS: usize = 8;

/// Alerts that are over when the damage comes, and alerts that wait to be sent.
const OVER: usize = 20;
const WAITING: usize = 20;

/// How long a service on a damaged database is watched at the most, in steps of 20 ms.
const WATCH: usize = 150;

/// How a damage was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    /// It did not start, or stopped, with an error.
    Refused,
    /// It serves, and the API answers errors where the damage is.
    Told,
    /// All that it shows and does is as before.
    Harmless,
}

pub(crate) async fn run(plan: Plan) -> Vec<Row> {
    let mut random = Random::new(plan.seed, "corrupt");
    let mut site = Site::new(FAST).await;
    let sound = prepare(&mut site).await;
    let mut undamaged = Row::new("undamaged database, as a control");
    damage(&mut site, &sound, &mut undamaged, &sound.bytes).await;
    undamaged.require(site.calls().len() >= OVER + WAITING, "what waits is not sent while it is watched");
    let mut flips = Row::new("database with flipped bits");
    let mut where_it_hurts = Row::new("flipped bits in devices and files of waiting actions");
    let mut cuts = Row::new("database cut short, or with a piece of it zeroed");
    for trial in 0..FLIPS * plan.size {
        damage(&mut site, &sound, &mut flips, &flip(&sound.bytes, None, &mut random)).await;
        if trial % 2 == 0 {
            let name = format!("{:040x}", OVER + trial % WAITING);
            let damaged = flip(&sound.bytes, Some(name.as_bytes()), &mut random);
            damage(&mut site, &sound, &mut where_it_hurts, &damaged).await;
        }
    }
    for _ in 0..CUTS * plan.size {
        damage(&mut site, &sound, &mut cuts, &cut(&sound.bytes, &mut random)).await;
    }
    vec![undamaged, flips, where_it_hurts, cuts]
}

/// A sound database and what the API says of it.
struct Sound {
    bytes: Vec<u8>,
    records: BTreeMap<String, Value>,
    /// The devices that actions wait for.
    waiting: HashSet<String>,
}

/// Some actions are over, some wait because the budget is used up; then the service ends cleanly.
async fn prepare(site: &mut Site) -> Sound {
    let serving = site.serve().await;
    site.send_all(0..OVER).await;
    site.settled(Duration::from_mins(1)).await;
    assert_eq!(serving.terminate().await, Some(0));
    site.refuse_connections();
    let serving = site.serve().await;
    site.send_all(OVER..OVER + WAITING).await;
    assert_eq!(serving.terminate().await, Some(0));
    site.take_connections().await;
    let bytes = fold(&site.installation.path("bridge.db"));
    // What they look like before anything is sent for those that wait.
    site.refuse_connections();
    let serving = site.serve().await;
    let records = site.records().await;
    serving.kill();
    site.take_connections().await;
    let waiting = (OVER..OVER + WAITING).map(|number| format!("{number:040x}")).collect();
    Sound { bytes, records, waiting }
}

/// Moves all of it from the WAL into the database file; returns its bytes.
fn fold(path: &Path) -> Vec<u8> {
    let db = Connection::open(path).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    fs::read(path).unwrap()
}

/// Flips a bit anywhere, or in one of the places where this text stands.
fn flip(bytes: &[u8], text: Option<&[u8]>, random: &mut Random) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    let mut below = |limit: usize| usize::try_from(random.below(u64::try_from(limit).unwrap())).unwrap();
    let place = match text {
        None => below(bytes.len()),
        Some(text) => {
            let places: Vec<_> =
                bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text).collect();
            // A digit near the end, so that it is another digit of hexadecimal afterwards as a rule.
            places[below(places.len())].0 + text.len() - 1 - below(8)
        }
    };
    damaged[place] ^= 1 << if text.is_some() { below(2) } else { below(8) };
    damaged
}

fn cut(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let place = usize::try_from(random.below(u64::try_from(bytes.len()).unwrap())).unwrap();
    let mut damaged = bytes.to_vec();
    if random.below(2) == 0 {
        damaged.truncate(place);
    } else {
        let end = (place + 4096).min(damaged.len());
        damaged[place..end].fill(0);
    }
    damaged
}

/// Serves a damaged database for a while, and judges what it did.
async fn damage(site: &mut Site, sound: &Sound, row: &mut Row, bytes: &[u8]) {
    let path = site.installation.path("bridge.db");
    for ending in ["-wal", "-shm", "-journal"] {
        drop(fs::remove_file(path.with_file_name(format!("bridge.db{ending}"))));
    }
    fs::write(&path, bytes).unwrap();
    let before = site.calls().len();
    let taken = watch(site, (sound, before), row).await;
    check_calls(site, sound, before, row);
    row.trials += 1;
    row.count_note(match taken {
        Taken::Refused => "refused",
        Taken::Told => "served, the damage told",
        Taken::Harmless => "harmless",
    });
}

async fn watch(site: &mut Site, (sound, before): (&Sound, usize), row: &mut Row) -> Taken {
    let mut serving = site.installation.serve();
    let mut records = None;
    let mut ticks = 0;
    while records.is_none() && serving.has_ended().is_none() && ticks < 200 {
        wait(Duration::from_millis(10)).await;
        records = read_all(site).await;
        ticks += 1;
    }
    // Until all that waits is sent, or can be no more.
    for _ in 0..WATCH {
        if serving.has_ended().is_some() || site.calls().len() >= before + WAITING {
            break;
        }
        wait(Duration::from_millis(20)).await;
    }
    let ended = serving.has_ended();
    serving.kill();
    if let Some(status) = ended {
        row.require(!status.success(), "it ended as if all were well");
        return Taken::Refused;
    }
    match records {
        None => Taken::Told,
        Some(records) => {
            let differs = sound
                .records
                .iter()
                .filter(|(id, record)| record["final"] == false && !is_same(records.get(*id), record));
            let differing: Vec<_> = differs.map(|(id, _)| id).collect();
            row.require(differing.is_empty(), format!("shown as sound, and is not: {differing:?}"));
            Taken::Harmless
        }
    }
}

/// All records, or nothing if the API has an error to tell.
async fn read_all(site: &Site) -> Option<BTreeMap<String, Value>> {
    let page = site.read("/v1/actions?limit=200").await?;
    let actions = page["actions"].as_array()?;
    Some(
        actions.iter().map(|it| (it["alert"]["id"].as_str().unwrap_or("?").to_owned(), it.clone())).collect(),
    )
}

/// Says whether what must never change is the same: the alert, and on which device and file it acts. The seal of what waits covers that,
/// and nothing of what is over.
fn is_same(found: Option<&Value>, sound: &Value) -> bool {
    let fields = ["/id", "/source", "/alert", "/machine", "/file", "/comment"];
    found.is_some_and(|found| fields.iter().all(|field| found.pointer(field) == sound.pointer(field)))
}

/// Only what was accepted may be called for, and nothing that is over already.
fn check_calls(site: &Site, sound: &Sound, before: usize, row: &mut Row) {
    let calls = site.calls();
    let wrong: Vec<_> =
        calls[before..].iter().filter(|(machine, ..)| !sound.waiting.contains(machine)).collect();
    row.require(wrong.is_empty(), format!("called for a device that no alert names: {wrong:?}"));
    let comments: Vec<_> =
        site.simulator.machine_actions().into_iter().map(|made| (made.machine_id, made.comment)).collect();
    let strange = comments.iter().filter(|(machine, comment)| {
        let number = usize::from_str_radix(machine, 16).unwrap_or(usize::MAX);
        !comment.ends_with(&format!(" alert-{number}"))
    });
    let strange: Vec<_> = strange.collect();
    row.require(strange.is_empty(), format!("called for the wrong alert: {strange:?}"));
}
