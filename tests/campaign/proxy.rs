//! A proxy between the bridge and the simulator that breaks connections at a chosen byte, and looks on disk for the
//! intent of every call.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Token,
    Quarantine,
    List,
}

/// A moment of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// The bridge has connected.
    Connected,
    /// The first bytes of the request are here.
    RequestBegun,
    /// The whole request is here, and the simulator does not have it.
    RequestRead,
    /// The simulator has acted, and not a byte of its answer has gone on.
    Acted,
    /// One byte of the answer has gone on.
    AnswerBegun,
    /// The whole answer has gone on.
    Answered,
}

/// What happens to a connection.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The simulator acts; of its answer so many thousandths go on, then the connection ends.
    AnswerCut { permille: usize },
    /// The simulator acts; the connection is reset.
    AnswerReset,
    /// The connection is reset, and the simulator has nothing.
    RequestReset,
    /// The connection is closed as soon as it stands.
    Closed,
    /// The simulator acts; something else is answered.
    Said(String),
    /// The simulator acts and nothing more happens on the connection.
    Stall,
    /// Something that is no HTTP is answered; the simulator has nothing.
    Garbage,
    /// The answer comes a byte at a time.
    Slow,
    /// Stands still at a point, and tells it.
    Halt(Point, oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<(Place, Fault)>,
    /// For the next quarantine call to a machine.
    at_machines: HashMap<String, Fault>,
    always: HashMap<Place, fn() -> Fault>,
    struck: usize,
    database: Option<PathBuf>,
    calls: HashMap<String, usize>,
    /// Calls for which there was no intent on disk when they came.
    without_intent: Vec<String>,
    checked: usize,
}

/// A handle to it.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    port: u16,
    upstream: u16,
    #[expect(clippy::disallowed_types, reason = "held for one look or one change, never across an await")]
    state: Arc<std::sync::Mutex<State>>,
}

impl Proxy {
    /// Listens on a port of its own; what comes is passed on to this port.
    pub(crate) async fn start(upstream: u16, tasks: &mut JoinSet<()>) -> (Self, AbortHandle) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), upstream, state: Arc::default() };
        let listening = tasks.spawn(proxy.clone().serve(listener));
        (proxy, listening)
    }

    /// Listens again after its listener was aborted.
    pub(crate) async fn listen_again(&self, tasks: &mut JoinSet<()>) -> AbortHandle {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        tasks.spawn(self.clone().serve(listener))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap())
    }

    /// Looks into this database for the intent of every call.
    pub(crate) fn watch(&self, database: &Path) {
        self.with(|state| state.database = Some(database.to_owned()));
    }

    /// Plays a fault on the next connection for this.
    pub(crate) fn play(&self, place: Place, fault: Fault) {
        self.with(|state| state.faults.push_back((place, fault)));
    }

    /// Plays a fault on the next quarantine call to this machine.
    pub(crate) fn play_at(&self, machine: String, fault: Fault) {
        self.with(|state| state.at_machines.insert(machine, fault));
    }

    /// Plays a fault on every connection for this, once those that were ordered one by one are over.
    pub(crate) fn always(&self, place: Place, fault: fn() -> Fault) {
        self.with(|state| state.always.insert(place, fault));
    }

    /// Plays no more.
    pub(crate) fn calm(&self) {
        self.with(|state| {
            state.faults.clear();
            state.at_machines.clear();
            state.always.clear();
        });
    }

    /// How many faults were played.
    pub(crate) fn struck(&self) -> usize {
        self.with(|state| state.struck)
    }

    /// How many calls were looked up on disk, and those that had no intent there.
    pub(crate) fn intents(&self) -> (usize, Vec<String>) {
        self.with(|state| (state.checked, state.without_intent.clone()))
    }

    async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(self.clone().pass(stream));
            while connections.try_join_next().is_some() {}
        }
    }

    /// Passes one connection on. What either side does to it is no failure of the campaign.
    async fn pass(self, mut bridge: TcpStream) {
        if is_tls(&bridge).await {
            // Whatever is answered is no handshake of TLS.
            return drop(bridge.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        }
        if let Some(tell) = self.halt_before_the_place_is_known() {
            return stand_still(&mut bridge, tell).await;
        }
        let mut request = vec![0; 8];
        if bridge.read_exact(&mut request).await.is_err() {
            return;
        }
        let Some(place) = read_request(&mut bridge, &mut request).await else {
            return;
        };
        let machine = machine_of(&request).filter(|_| place == Place::Quarantine);
        let fault = self.strike(place, machine.as_deref());
        match fault {
            Some(Fault::Halt(Point::RequestBegun | Point::RequestRead, tell)) => {
                return stand_still(&mut bridge, tell).await;
            }
            Some(Fault::RequestReset) => return drop(bridge.set_zero_linger()),
            Some(Fault::Closed) => return,
            Some(Fault::Garbage) => {
                return drop(bridge.write_all(b"\x15\x03\x01\x00\x02\x02\x46nonsense").await);
            }
            _ => {}
        }
        if let Some(machine) = machine {
            self.look_for_intent(&machine);
        }
        if let Ok(answer) = self.ask(&request).await {
            answer_with(&mut bridge, &answer, fault).await;
        }
    }

    /// A halt at the beginning of a connection strikes whatever the connection is for.
    fn halt_before_the_place_is_known(&self) -> Option<oneshot::Sender<()>> {
        self.with(|state| {
            let is_first = matches!(state.faults.front(), Some((_, Fault::Halt(Point::Connected, _))));
            let first = if is_first { state.faults.pop_front() } else { None };
            match first {
                Some((_, Fault::Halt(_, tell))) => {
                    state.struck += 1;
                    Some(tell)
                }
                _ => None,
            }
        })
    }

    fn strike(&self, place: Place, machine: Option<&str>) -> Option<Fault> {
        self.with(|state| {
            let at_machine = machine.and_then(|machine| state.at_machines.remove(machine));
            let index = state.faults.iter().position(|(at, _)| *at == place);
            let fault = match (at_machine, index) {
                (Some(fault), _) => Some(fault),
                (None, Some(index)) => state.faults.remove(index).map(|(_, fault)| fault),
                (None, None) => state.always.get(&place).map(|fault| fault()),
            };
            state.struck += usize::from(fault.is_some());
            fault
        })
    }

    /// Has the simulator act; returns all that it answers.
    async fn ask(&self, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut simulator = TcpStream::connect(("127.0.0.1", self.upstream)).await?;
        simulator.write_all(request).await?;
        let mut answer = Vec::new();
        // A simulator that hangs up, and one that keeps the connection, both are done when nothing more comes.
        while !is_whole(&answer) {
            if simulator.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        Ok(answer)
    }

    /// A call whose intent another process cannot see in the database is one that a crash would forget.
    fn look_for_intent(&self, machine: &str) {
        let database = self.with(|state| {
            *state.calls.entry(machine.to_owned()).or_default() += 1;
            state.database.clone()
        });
        let Some(intents) = database.and_then(|path| count_intents(&path, machine)) else {
            return;
        };
        self.with(|state| {
            state.checked += 1;
            let calls = state.calls.get(machine).copied().unwrap_or_default();
            if calls > intents {
                state.without_intent.push(format!("{machine}: call {calls}, {intents} intents"));
            }
        });
    }
}

/// Says whether the first byte begins a handshake.
async fn is_tls(bridge: &TcpStream) -> bool {
    let mut first = [0];
    bridge.peek(&mut first).await.is_ok_and(|count| count == 1 && first == [0x16])
}

/// Counts what is committed. `None` if the database is being opened or recovered just now.
fn count_intents(path: &Path, machine: &str) -> Option<usize> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    db.busy_timeout(Duration::from_millis(500)).ok()?;
    let sql =
        "SELECT count(*) FROM attempts t JOIN actions a ON a.seq = t.action_seq WHERE a.machine_id = ?1";
    let count: i64 = db.query_row(sql, [machine], |row| row.get(0)).ok()?;
    usize::try_from(count).ok()
}

/// Which device a request is about.
fn machine_of(request: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(request);
    let rest = head.split("/machines/").nth(1)?;
    rest.split('/').next().map(str::to_owned)
}

/// Reads the rest of a request; says what it is for.
async fn read_request(bridge: &mut TcpStream, request: &mut Vec<u8>) -> Option<Place> {
    while !is_whole(request) {
        if bridge.read_buf(request).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8_lossy(request);
    let line = head.lines().next().unwrap_or_default();
    Some(if line.contains("/StopAndQuarantineFile") {
        Place::Quarantine
    } else if line.contains("/oauth2/") {
        Place::Token
    } else {
        Place::List
    })
}

/// Says whether a message has come to its end: by its length, its last chunk, or the end of its head.
fn is_whole(message: &[u8]) -> bool {
    let Some(end) = message.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&message[..end]).to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return message.ends_with(b"0\r\n\r\n");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    message.len() >= end + 4 + length
}

/// Gives the bridge of an answer what a fault leaves of it.
async fn answer_with(bridge: &mut TcpStream, answer: &[u8], fault: Option<Fault>) {
    match fault {
        Some(Fault::AnswerCut { permille }) => {
            drop(bridge.write_all(&answer[..answer.len() * permille / 1_000]).await);
        }
        Some(Fault::AnswerReset) => drop(bridge.set_zero_linger()),
        Some(Fault::Said(text)) => drop(bridge.write_all(text.as_bytes()).await),
        Some(Fault::Stall) => wait_for_end(bridge).await,
        Some(Fault::Slow) => byte_by_byte(bridge, answer).await,
        Some(Fault::Halt(Point::Acted, tell)) => stand_still(bridge, tell).await,
        Some(Fault::Halt(Point::AnswerBegun, tell)) => {
            drop(bridge.write_all(&answer[..1]).await);
            stand_still(bridge, tell).await;
        }
        Some(Fault::Halt(_, tell)) => {
            drop(bridge.write_all(answer).await);
            stand_still(bridge, tell).await;
        }
        Some(Fault::RequestReset | Fault::Closed | Fault::Garbage) | None => {
            drop(bridge.write_all(answer).await);
            wait_for_end(bridge).await;
        }
    }
}

async fn byte_by_byte(bridge: &mut TcpStream, answer: &[u8]) {
    for byte in answer {
        if bridge.write_all(&[*byte]).await.is_err() || bridge.flush().await.is_err() {
            return;
        }
    }
}

async fn stand_still(bridge: &mut TcpStream, tell: oneshot::Sender<()>) {
    let _is_awaited = tell.send(()).is_ok();
    wait_for_end(bridge).await;
}

/// The bridge ends its connections itself; one that was killed has.
async fn wait_for_end(bridge: &mut TcpStream) {
    let mut rest = [0; 1024];
    while bridge.read(&mut rest).await.is_ok_and(|count| count > 0) {}
}
