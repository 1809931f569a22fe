//! A small server that behaves like Elasticsearch as far as the sink can tell, and misbehaves when told to.

use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What goes wrong with the next bulk request.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// This answer, and nothing is done.
    Status(u16),
    /// Every second item gets this status and is not done; the others are done.
    Items(u16),
    /// All is done, and the connection is closed instead of an answer.
    DoneThenCut,
    /// The answer comes after so many milliseconds.
    Slow(u64),
}

#[derive(Debug, Default)]
pub(super) struct World {
    /// Documents with their versions, by index and id.
    pub(super) indices: BTreeMap<String, BTreeMap<String, (u64, Value)>>,
    pub(super) deleted: BTreeMap<(String, String), u64>,
    pub(super) templates: BTreeMap<String, Value>,
    pub(super) faults: VecDeque<Fault>,
    /// The number of operations of each bulk request, in the order of arrival.
    pub(super) bulks: Vec<usize>,
    /// Connections are closed unheard.
    pub(super) away: bool,
    /// Larger bodies are refused; 0: none is.
    pub(super) max_body: usize,
    /// What requests have to carry as authorization.
    pub(super) authorization: Option<String>,
    /// Indices are not made by writing to them.
    pub(super) no_auto_create: bool,
}

/// The server; its address is in `url`.
#[derive(Clone, Debug)]
pub(super) struct Fake {
    pub(super) url: String,
    world: Arc<Mutex<World>>,
}

impl Fake {
    pub(super) async fn start() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Fake { url, world: Arc::default() };
        let served = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = served.clone();
                tokio::spawn(async move { fake.serve(stream).await });
            }
        });
        fake
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    async fn serve(self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut first = String::new();
            stream.read_line(&mut first).await.ok().filter(|n| *n > 0)?;
            let mut length = 0;
            let mut authorization = None;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
                if line == "\r\n" {
                    break;
                }
                let (name, value) = line.split_once(':')?;
                match &name.to_ascii_lowercase()[..] {
                    "content-length" => length = value.trim().parse().unwrap(),
                    "authorization" => authorization = Some(value.trim().to_owned()),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.ok()?;
            let mut words = first.split(' ');
            let (method, path) = (words.next()?, words.next()?);
            let path = path.split('?').next()?.trim_start_matches('/');
            let (fault, answer) = self.answer(method, path, &body, authorization)?;
            match fault {
                Some(Fault::DoneThenCut) => return None,
                Some(Fault::Slow(ms)) => tokio::time::sleep(std::time::Duration::from_millis(ms)).await,
                Some(Fault::Status(_) | Fault::Items(_)) | None => {}
            }
            let (status, body) = answer;
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
        }
    }

    fn answer(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        authorization: Option<String>,
    ) -> Option<(Option<Fault>, (u16, Value))> {
        let mut world = self.world();
        if world.away {
            return None;
        }
        if world.authorization.is_some() && world.authorization != authorization {
            return Some((None, (401, json!({"error": {"type": "security_exception", "reason": "who are you"}}))));
        }
        let parts: Vec<&str> = path.split('/').collect();
        Some(match (method, &parts[..]) {
            ("GET", [""]) => (None, (200, json!({"version": {"number": "8.19.0"}}))),
            ("GET", ["_index_template"]) => {
                let list: Vec<Value> =
                    world.templates.iter().map(|(n, t)| json!({"name": n, "index_template": t})).collect();
                (None, (200, json!({"index_templates": list})))
            }
            ("GET", ["_template"]) => (None, (200, json!({}))),
            ("PUT", ["_index_template", name]) => {
                world.templates.insert((*name).to_owned(), serde_json::from_slice(body).unwrap());
                (None, (200, json!({"acknowledged": true})))
            }
            ("POST", [index, "_bulk"]) => {
                let fault = world.faults.pop_front();
                let answer = world.bulk(index, body, fault.as_ref());
                (fault, answer)
            }
            ("PUT", [index]) => {
                let known = world.indices.contains_key(*index);
                world.indices.entry((*index).to_owned()).or_default();
                match known {
                    true => (
                        None,
                        (400, json!({"error": {"type": "resource_already_exists_exception", "reason": "exists"}})),
                    ),
                    false => (None, (200, json!({"acknowledged": true}))),
                }
            }
            _ => (None, (405, json!({"error": {"type": "unknown", "reason": path}}))),
        })
    }
}

impl World {
    /// An index's documents, without versions.
    pub(super) fn documents(&self, index: &str) -> BTreeMap<String, Value> {
        let documents = self.indices.get(index).cloned().unwrap_or_default();
        documents.into_iter().map(|(id, (_, document))| (id, document)).collect()
    }

    fn bulk(&mut self, index: &str, body: &[u8], fault: Option<&Fault>) -> (u16, Value) {
        if self.max_body > 0 && body.len() > self.max_body {
            return (413, json!("too large"));
        }
        let text = std::str::from_utf8(body).unwrap();
        assert!(text.ends_with('\n'));
        let mut lines = text.lines();
        let mut items = Vec::new();
        while let Some(line) = lines.next() {
            let action: Value = serde_json::from_str(line).unwrap();
            let (name, meta) = action.as_object().unwrap().iter().next().unwrap();
            let document = (name != "delete").then(|| serde_json::from_str::<Value>(lines.next().unwrap()).unwrap());
            items.push((name.clone(), meta.clone(), document));
        }
        self.bulks.push(items.len());
        if let Some(Fault::Status(status)) = fault {
            return (*status, json!({"error": {"type": "fault", "reason": "as told"}}));
        }
        if items.iter().any(|(_, meta, _)| meta["_id"].as_str().unwrap().len() > 512) {
            return (
                400,
                json!({"error": {"type": "action_request_validation_exception", "reason": "id is too long"}}),
            );
        }
        let answers: Vec<Value> = items
            .into_iter()
            .enumerate()
            .map(|(i, (name, meta, document))| {
                let (status, kind) = match fault {
                    Some(Fault::Items(status)) if i % 2 == 0 => (*status, "fault"),
                    _ => self.apply(index, &name, &meta, document),
                };
                let mut answer = json!({"status": status});
                if status >= 300 && kind != "not_found" {
                    answer["error"] = json!({"type": kind, "reason": "as told"});
                }
                json!({ name: answer })
            })
            .collect();
        (200, json!({"items": answers}))
    }

    fn apply(&mut self, index: &str, name: &str, meta: &Value, document: Option<Value>) -> (u16, &'static str) {
        if self.no_auto_create && !self.indices.contains_key(index) {
            return (404, "index_not_found_exception");
        }
        let id = meta["_id"].as_str().unwrap().to_owned();
        let version = meta["version"].as_u64();
        let place = (index.to_owned(), id.clone());
        let tombstone = self.deleted.get(&place).copied();
        let documents = self.indices.entry(index.to_owned()).or_default();
        let present = documents.get(&id).map(|(version, _)| *version);
        let newest = present.or(tombstone).unwrap_or(0);
        if version.is_some_and(|v| v < newest) || (name == "create" && present.is_some()) {
            return (409, "version_conflict_engine_exception");
        }
        let next = version.unwrap_or(newest + 1);
        let document = match (name, document) {
            ("update", Some(update)) => Some(update["doc"].clone()),
            (_, document) => document,
        };
        match document {
            Some(document) if document["N"] == json!(-1) => (400, "mapper_parsing_exception"),
            Some(document) => {
                documents.insert(id, (next, document));
                (201, "")
            }
            None => {
                self.deleted.insert(place, next);
                if documents.remove(&id).is_some() { (200, "") } else { (404, "not_found") }
            }
        }
    }
}
