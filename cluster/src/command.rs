//! What the workers are told, and what they answer.
//!
//! The intake (process 0) turns statements and requests into [`Command`]s. Worker 0 puts them into timely's
//! Sequencer, so every worker of every process applies the same commands in the same order. Answers travel back to
//! worker 0 and from there through a channel to whoever asked. Peeks are no commands: see [`Ask`], which each worker of
//! process 0 answers by itself.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::mpsc;
use weir_dataflow::engine::GONE;
use weir_dataflow::plan::query::RowQuery;
use weir_dataflow::plan::{Source, View};
use weir_dataflow::views::change::{ChangeBatch, Row};
use weir_dataflow::views::peek;

/// How often a peek is asked that comes too late.
const TRIES: u32 = 20;

/// Where a topic's reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Offset {
    /// At its first record.
    Earliest,
    /// At what comes from now on.
    Latest,
}

/// One thing that all workers do, in one order.
#[allow(clippy::large_enum_variant, reason = "commands are few, and none of them waits in numbers")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Several, at once: what a script installs reads its topics together, from their first record on.
    Group(Vec<Command>),
    /// A stream or table was declared. Nothing is read until a view needs it.
    Declare(Source),
    /// Start keeping a view. Its input topics are read from `offset` (tables always from the earliest).
    Install {
        /// The view.
        view: View,
        /// Where streams start.
        offset: Offset,
    },
    /// Stop a view from taking what comes, or let it go on.
    Pause {
        /// The view.
        view: String,
        /// False: it goes on.
        paused: bool,
    },
    /// Stop keeping a view, or forget a declared source.
    Drop(String),
    /// Send every change of a view, or every row of a stream, from now on.
    Subscribe {
        /// The request.
        id: u64,
        /// The view, or a declared stream or table.
        input: String,
        /// First the rows that are there: for a table its rows, for a stream what its topic still holds.
        snapshot: bool,
    },
    /// End a subscription.
    Unsubscribe(u64),
    /// Tell when all that the topics hold by now is in the views.
    Settle(u64),
    /// Process 0 answers HTTP here; the others forward to it.
    Home(std::net::SocketAddr),
    /// End all workers in order.
    Stop,
}

/// The rows of a view as of its latest closed epoch are wanted of every worker that may keep some.
pub struct Ask {
    /// The request.
    pub id: u64,
    /// Which rows.
    pub query: RowQuery,
    /// After the commands that were sent before: so many.
    pub after: u64,
    /// Workers of other processes are to be told.
    pub everywhere: bool,
    moment: OnceLock<Moment>,
    latest: Arc<Mutex<HashMap<String, u64>>>,
}

/// When a peek is answered.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// As of this epoch.
    pub epoch: u64,
    /// When so many commands have been carried out: a view that was replaced since is another one.
    pub commands: u64,
}

impl Ask {
    /// True when it is chosen as of when workers answer.
    pub fn is_chosen(&self) -> bool {
        self.moment.get().is_some()
    }

    /// As of when all workers answer: chosen by the first one that asks, which has carried out so many `commands` and knows
    /// this epoch of the view to be `closed` on all of them; none before that of an earlier question.
    pub fn moment(&self, closed: u64, commands: u64) -> Moment {
        *self.moment.get_or_init(|| {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            let latest = latest.entry(self.query.input.clone()).or_default();
            *latest = closed.max(*latest);
            Moment { epoch: *latest, commands }
        })
    }
}

/// What workers answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Rows of a peek from one worker (all rows of the input's schema: the asker filters and projects no more than
    /// LIMIT and projection; rows not matching `keys`, `window_starts` and `filter` are already gone).
    Rows(u64, Vec<Row>),
    /// That worker has sent all its rows of the peek, or has settled.
    Done(u64),
    /// A subscription's changes.
    Changes(u64, ChangeBatch),
    /// The request cannot be answered.
    Failed(u64, String),
    /// Nobody asked: what a process has to say to process 0.
    Word(Word),
}

/// What a process that is not the first tells process 0, for it alone answers requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Word {
    /// An entry of its processing log, as JSON.
    Log(Vec<u8>),
    /// What it has counted.
    Metrics {
        /// Which process.
        process: usize,
        /// Its metrics as text.
        text: String,
    },
    /// It was told to end: all are to end.
    Leave,
}

/// Where what processes have to say goes in and comes out.
pub struct Words {
    /// What this process says; its first worker takes it.
    pub said: Mutex<Option<std::sync::mpsc::Receiver<Word>>>,
    /// What process 0 hears.
    pub heard: mpsc::UnboundedSender<Word>,
}

/// Of a process that has nothing to say and does not listen.
impl Default for Words {
    fn default() -> Self {
        Words { said: Mutex::new(None), heard: mpsc::unbounded_channel().0 }
    }
}

/// The intake's end of the line to the workers. Cheap to clone.
#[derive(Clone)]
pub struct Workers {
    commands: std::sync::mpsc::Sender<Command>,
    /// How many were sent.
    sent: Arc<AtomicU64>,
    /// By worker of this process.
    asks: Arc<[std::sync::mpsc::Sender<Arc<Ask>>]>,
    /// By view the latest epoch as of which a peek was answered.
    latest: Arc<Mutex<HashMap<String, u64>>>,
    /// Open requests, by id.
    pending: Pending,
    next: Arc<AtomicU64>,
    /// Workers of all processes.
    peers: usize,
    wake: Wake,
}

/// Who waits for answers, by request.
type Pending = Arc<Mutex<HashMap<u64, mpsc::UnboundedSender<Answer>>>>;

/// Rouses a worker of this process that has nothing to do.
pub type Wake = Arc<dyn Fn(usize) + Send + Sync>;

/// Hands an answer to whoever asked; an answer nobody waits for any more is dropped.
pub type Deliver = Arc<dyn Fn(Answer) + Send + Sync>;

/// Wakes all who wait for an answer when worker 0 is gone, which keeps this: there will be none.
pub struct Closing(Pending);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The workers' end of the line.
pub struct Line {
    /// Commands to put into the Sequencer, for worker 0.
    pub commands: Option<std::sync::mpsc::Receiver<Command>>,
    /// By worker, what it is asked.
    pub asks: Vec<Option<std::sync::mpsc::Receiver<Arc<Ask>>>>,
    /// Answers.
    pub deliver: Deliver,
    /// For worker 0.
    pub closing: Option<Closing>,
}

/// A running subscription; dropping it ends it.
pub struct Subscription {
    id: u64,
    answers: mpsc::UnboundedReceiver<Answer>,
    workers: Workers,
}

impl Workers {
    /// Both ends of a line to `peers` workers, of which so many are `here`; `heard` gets what other processes say.
    pub fn new(peers: usize, here: usize, wake: Wake, heard: mpsc::UnboundedSender<Word>) -> (Workers, Line) {
        let (commands, receiver) = std::sync::mpsc::channel();
        let (asks, asked): (Vec<_>, Vec<_>) = (0..here).map(|_| std::sync::mpsc::channel()).unzip();
        let pending = Pending::default();
        let (answers, closing) = (Arc::clone(&pending), Some(Closing(Arc::clone(&pending))));
        let answer = move |answer: Answer| {
            let id = match &answer {
                Answer::Rows(id, _) | Answer::Done(id) | Answer::Changes(id, _) | Answer::Failed(id, _) => *id,
                Answer::Word(word) => {
                    let _ = heard.send(word.clone());
                    return;
                }
            };
            if let Ok(pending) = answers.lock()
                && let Some(asker) = pending.get(&id)
            {
                let _ = asker.send(answer);
            }
        };
        let (sent, next, asks) = (Arc::default(), Arc::new(AtomicU64::new(1)), asks.into());
        let workers = Workers { commands, sent, asks, latest: Arc::default(), pending, next, peers, wake };
        let asks = asked.into_iter().map(Some).collect();
        (workers, Line { commands: Some(receiver), asks, deliver: Arc::new(answer), closing })
    }

    /// Sends a command that has no answer.
    pub fn send(&self, command: Command) {
        if !self.put_in_line(command) {
            self.hang_up();
        }
        (self.wake)(0);
    }

    /// False when the workers have ended.
    fn put_in_line(&self, command: Command) -> bool {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.commands.send(command).is_ok()
    }

    /// There will be no more answers.
    fn hang_up(&self) {
        drop(Closing(Arc::clone(&self.pending)));
    }

    /// Returns how many workers will answer.
    fn ask(&self, id: u64, query: RowQuery) -> usize {
        // Workers that keep none of the rows have no part in it, if no other process has.
        let keepers = peek::keepers(&query, self.peers).filter(|keepers| keepers.iter().all(|k| *k < self.asks.len()));
        let keepers = keepers.filter(|keepers| !keepers.is_empty());
        let (after, everywhere) = (self.sent.load(Ordering::Relaxed), keepers.is_none());
        let (moment, latest) = (OnceLock::new(), Arc::clone(&self.latest));
        let ask = Arc::new(Ask { id, query, after, everywhere, moment, latest });
        let is_asked = |worker: &usize| keepers.as_ref().is_none_or(|keepers| keepers.contains(worker));
        for worker in (0..self.asks.len()).filter(is_asked) {
            if self.asks[worker].send(Arc::clone(&ask)).is_err() {
                self.hang_up();
            }
            (self.wake)(worker);
        }
        keepers.map_or(self.peers, |keepers| keepers.len())
    }

    /// False when the workers have ended: nothing is done any more.
    pub fn is_alive(&self) -> bool {
        self.put_in_line(Command::Group(Vec::new()))
    }

    fn request(&self) -> (u64, mpsc::UnboundedReceiver<Answer>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Ok(mut pending) = self.pending.lock() {
            pending.insert(id, sender);
        }
        (id, receiver)
    }

    fn forget(&self, id: u64) {
        if let Ok(mut pending) = self.pending.lock() {
            pending.remove(&id);
        }
    }

    /// The rows of a view that a query asks for, as of one closed epoch, in no particular order across keys; rows
    /// of one key ascend by window. Rows carry the input's schema: projection and LIMIT are the caller's.
    ///
    /// # Errors
    /// The view is unknown to the workers, or the workers have ended.
    pub async fn peek(&self, query: RowQuery) -> Result<Vec<Row>, String> {
        // Where workers are slow, a peek may come to one of them later than it keeps what has passed.
        for _ in 1..TRIES {
            match self.peek_once(query.clone()).await {
                Err(reason) if reason == GONE => {}
                result => return result,
            }
        }
        self.peek_once(query).await
    }

    async fn peek_once(&self, query: RowQuery) -> Result<Vec<Row>, String> {
        let (id, mut answers) = self.request();
        let answering = self.ask(id, query);
        let (mut rows, mut done) = (Vec::new(), 0);
        let result = loop {
            match answers.recv().await {
                Some(Answer::Rows(_, more)) => rows.extend(more),
                Some(Answer::Done(_)) => {
                    done += 1;
                    if done == answering {
                        break Ok(rows);
                    }
                }
                Some(Answer::Failed(_, reason)) => break Err(reason),
                Some(Answer::Changes(..) | Answer::Word(_)) => {}
                None => break Err("the workers have ended".into()),
            }
        };
        self.forget(id);
        result
    }

    /// Returns when all that the topics hold by now is in the views, and every subscription that was asked for before
    /// has begun.
    ///
    /// # Errors
    /// The workers have ended.
    pub async fn settle(&self) -> Result<(), String> {
        let (id, mut answers) = self.request();
        self.send(Command::Settle(id));
        let mut result = Ok(());
        for _ in 0..self.peers {
            if answers.recv().await.is_none() {
                result = Err("the workers have ended".into());
                break;
            }
        }
        self.forget(id);
        result
    }

    /// Subscribes to a view or a declared source.
    pub fn subscribe(&self, input: &str, snapshot: bool) -> Subscription {
        let (subscription, command) = self.subscription(input, snapshot);
        self.send(command);
        subscription
    }

    /// A subscription that begins when the command is sent: in a group with the view's installation, so that it
    /// misses nothing.
    pub fn subscription(&self, input: &str, snapshot: bool) -> (Subscription, Command) {
        let (id, answers) = self.request();
        let command = Command::Subscribe { id, input: input.into(), snapshot };
        (Subscription { id, answers, workers: self.clone() }, command)
    }
}

impl Subscription {
    /// The next closed batch of changes; `None` when the view is gone. An empty batch tells that time passed.
    ///
    /// # Errors
    /// The view is unknown to the workers.
    pub async fn next(&mut self) -> Option<Result<ChangeBatch, String>> {
        loop {
            match self.answers.recv().await? {
                Answer::Changes(_, batch) => return Some(Ok(batch)),
                Answer::Failed(_, reason) => return Some(Err(reason)),
                Answer::Rows(..) | Answer::Done(_) | Answer::Word(_) => {}
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.workers.forget(self.id);
        self.workers.send(Command::Unsubscribe(self.id));
    }
}
