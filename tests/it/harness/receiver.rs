//! A receiver of callbacks on loopback: what it got, and what it answers.

use std::collections::HashMap;
use std::net::TcpListener;

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use quarantine_bridge::alert::{EventType, Remind};
use quarantine_bridge::callbacks::Callback;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::contract::{OPENAPI, conforms};
use super::key;

/// A request that the receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// What it says, which is what openapi.yaml says that it is.
    pub(crate) fn json(&self) -> Value {
        let body = serde_json::from_slice(&self.body).unwrap();
        conforms(&OPENAPI["components"]["schemas"]["CallbackEvent"], &body).unwrap();
        body
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

/// What a receiver answers: a status, and headers.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A receiver that listens.
pub(crate) struct Receiver {
    pub(crate) url: String,
    base: String,
    answers: watch::Sender<Answers>,
    came: watch::Sender<Vec<Received>>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Shared {
    answers: watch::Receiver<Answers>,
    came: watch::Sender<Vec<Received>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let url = format!("{base}/hooks/secret-path");
        let (answers, receiver) = watch::channel(Answers { status: 200, headers: Vec::new() });
        let came = watch::Sender::default();
        let shared = Shared { answers: receiver, came: came.clone() };
        let app =
            move || App::new().app_data(web::Data::new(shared.clone())).default_service(web::to(receive));
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.await.unwrap() });
        Self { url, base, answers, came, _tasks: tasks }
    }

    /// A callback that leads here, and is told of everything.
    pub(crate) fn callback(&self, name: &str) -> Callback {
        callback(name, &self.url)
    }

    /// Its address without a path.
    pub(crate) fn base(&self) -> String {
        self.base.clone()
    }

    pub(crate) fn answer(&self, status: u16) {
        self.answer_with(status, &[]);
    }

    pub(crate) fn answer_with(&self, status: u16, headers: &[(&'static str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.answers.send_replace(Answers { status, headers });
    }

    /// All that came so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.came.borrow().clone()
    }

    /// The types of what came so far.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.received().iter().map(Received::kind).collect()
    }
}

/// A callback that leads to an address on loopback, and is told of everything.
pub(crate) fn callback(name: &str, url: &str) -> Callback {
    let hour = jiff::SignedDuration::from_hours(1);
    Callback {
        name: name.parse().unwrap(),
        url: url.parse().unwrap(),
        keys: vec![key()],
        events: EventType::ALL.to_vec(),
        sources: None,
        allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        reminders: vec![Remind::After(hour), Remind::BeforeExpiry(hour)],
    }
}

async fn receive(request: HttpRequest, body: web::Bytes, shared: web::Data<Shared>) -> HttpResponse {
    let headers = request.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    shared.came.send_modify(|came| came.push(Received { headers, body: body.to_vec() }));
    let answers = shared.answers.borrow().clone();
    let mut response = HttpResponse::build(StatusCode::from_u16(answers.status).unwrap());
    for (name, value) in answers.headers {
        response.insert_header((name, value));
    }
    response.finish()
}
