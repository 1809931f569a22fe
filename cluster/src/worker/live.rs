//! A worker of a server: see [`super`] for what it does all day.

use super::peeks::{self, Peeks, Told};
use super::reading::{Reading, Start};
use super::{Config, flatten};
use crate::command::{Answer, Command, Deliver, Line, Offset, Word};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::operator::Operator;
use timely::synchronization::Sequencer;
use timely::worker::Worker;
use tokio::sync::watch;
use weir_dataflow::engine::{Engine, Options};
use weir_dataflow::plan::{Source, View};
use weir_dataflow::render::port::Inlet;
use weir_dataflow::safepoint;
use weir_ingest::source::Limit;

/// What the workers of a process share.
pub struct Shared {
    /// How they run.
    pub config: Config,
    /// Commands, questions and answers.
    pub line: Mutex<Line>,
    /// Process 0's HTTP address.
    pub home: watch::Sender<Option<SocketAddr>>,
    /// The workers' threads, to be woken after a command or a question.
    pub threads: Arc<[OnceLock<std::thread::Thread>]>,
}

/// What the Sequencer orders.
#[allow(clippy::large_enum_variant, reason = "commands are few, and none of them waits in numbers")]
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ordered {
    /// A command, and the epoch that worker 0 chose for it: from which to subscribe.
    Command(Command, u64),
    /// What worker 0 has answered already, for those of other processes.
    Peek(Told),
    /// A worker has read the tables of a group to their end, by this epoch.
    TablesRead { group: u64, epoch: u64 },
}

/// How far what is read may run ahead of what is closed everywhere.
const AHEAD: Duration = Duration::from_secs(2);

/// An idle worker looks for records and commands this often.
const IDLE: Duration = Duration::from_millis(2);

/// Tables that a group of commands began to read.
struct Group {
    tables: BTreeSet<String>,
    told: bool,
    /// Workers that have read their share.
    ready: usize,
    /// The greatest epoch in which they did.
    epoch: u64,
}

struct Live<'a> {
    shared: &'a Shared,
    engine: Rc<RefCell<Engine>>,
    peeks: Rc<RefCell<Peeks>>,
    /// Of worker 0.
    commands: Option<std::sync::mpsc::Receiver<Command>>,
    /// Of worker 0.
    deliver: Option<Deliver>,
    /// What this process has to say to process 0.
    said: Option<std::sync::mpsc::Receiver<Word>>,
    sequencer: Sequencer<Ordered>,
    answers: Inlet<Answer>,
    sources: BTreeMap<String, Source>,
    readings: BTreeMap<String, Reading>,
    /// Groups of commands whose streams wait for their tables.
    groups: BTreeMap<u64, Group>,
    /// The number of the group of commands that is being carried out.
    group: u64,
    /// Questions whether all has been read, and once it has on this worker, the epoch that has to close.
    settling: Vec<(u64, Option<u64>)>,
    epoch_ms: u64,
    stopping: bool,
}

/// Runs until told to stop.
pub fn run(worker: &mut Worker, shared: &Shared) {
    let config = &shared.config;
    let here = config.place.workers;
    let local = worker.index() % here;
    let _ = shared.threads[local].set(std::thread::current());
    let said = (local == 0).then(|| config.words.said.lock().ok()?.take()).flatten();
    let (commands, asks, deliver, _closing) = {
        let mut line = shared.line.lock().unwrap_or_else(PoisonError::into_inner);
        let first = worker.index() == 0;
        let (commands, closing) = if first { (line.commands.take(), line.closing.take()) } else { (None, None) };
        (commands, line.asks[local].take(), Arc::clone(&line.deliver), closing)
    };
    let at_worker_0 = (worker.index() == 0).then(|| Arc::clone(&deliver));
    let answers = worker.dataflow_named::<u64, _, _>("Answers", |scope| {
        let (inlet, answers) = Inlet::new(scope, 0);
        answers.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
            Exchange::new(|_: &Answer| 0),
            "Answer",
            move |_, _| {
                move |input, _output| {
                    input.for_each(|_, answers| {
                        for answer in answers.drain(..) {
                            if let Some(deliver) = &at_worker_0 {
                                deliver(answer);
                            }
                        }
                    });
                }
            },
        );
        inlet
    });
    let sequencer = Sequencer::new(worker, Instant::now());
    let epoch_ms = u64::try_from(config.epoch.as_millis()).unwrap_or(1000).max(1);
    let engine = Rc::new(RefCell::new(Engine::new(Options {
        keep_recent: config.keep_recent,
        keep_changes: config.every_change,
        finite: false,
    })));
    let tells = worker.index() == 0 && worker.peers() > here;
    let peeks = Rc::new(RefCell::new(Peeks::new(Rc::clone(&engine), asks, Arc::clone(&deliver), tells)));
    let at_safepoints = Rc::clone(&peeks);
    safepoint::set(Some(Box::new(move || at_safepoints.borrow_mut().serve())));
    let mut live = Live {
        shared,
        engine,
        peeks,
        commands,
        deliver: (worker.index() == 0).then_some(deliver),
        said,
        sequencer,
        answers,
        sources: BTreeMap::new(),
        readings: BTreeMap::new(),
        groups: BTreeMap::new(),
        group: 0,
        settling: Vec::new(),
        epoch_ms,
        stopping: false,
    };
    live.engine.borrow_mut().advance(live.clock());
    while !live.stopping {
        let busy = live.turn(worker);
        if busy {
            worker.step();
        } else {
            worker.step_or_park(Some(IDLE));
        }
        live.engine.borrow_mut().pump();
        safepoint::reached();
    }
    safepoint::set(None);
    for name in worker.installed_dataflows() {
        worker.drop_dataflow(name);
    }
}

impl Live<'_> {
    fn clock(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        u64::try_from(now).unwrap_or(u64::MAX) / self.epoch_ms
    }

    /// Commands, records, the epoch. True when there was something to do.
    fn turn(&mut self, worker: &mut Worker) -> bool {
        weir_dataflow::plan::functions::set_now(crate::clock::now_ms());
        let mut busy = self.take_commands();
        while let Some(ordered) = self.sequencer.next() {
            busy = true;
            match ordered {
                Ordered::Command(command, epoch) => {
                    self.group += 1;
                    self.peeks.borrow_mut().carry_out(self.group);
                    let commands = flatten(command);
                    commands.into_iter().for_each(|c| self.carry_out(worker, c, epoch));
                    self.start_readings(worker);
                }
                Ordered::Peek(Told { id, query, moment }) => {
                    if worker.index() >= self.shared.config.place.workers {
                        let (engine, commands) = (Rc::clone(&self.engine), self.group);
                        peeks::answer(&engine.borrow(), id, &query, moment, commands, |answer| self.answer(answer));
                    }
                }
                Ordered::TablesRead { group, epoch } => {
                    if let Some(group) = self.groups.get_mut(&group) {
                        group.ready += 1;
                        group.epoch = group.epoch.max(epoch);
                    }
                }
            }
        }
        self.release(worker.peers());
        busy |= self.read();
        self.settle();
        let epoch = self.clock();
        if epoch > self.engine.borrow().epoch() {
            self.engine.borrow_mut().advance(epoch);
            self.shared.config.metrics.epochs_closed.inc();
            self.report();
            self.speak();
        }
        busy
    }

    /// Puts what the intake asks for in order, with an epoch that all workers can answer for.
    fn take_commands(&mut self) -> bool {
        let epoch = self.engine.borrow().epoch() + 2;
        let told = self.peeks.borrow_mut().untold().into_iter().map(Ordered::Peek);
        let commands = self.commands.iter().flat_map(std::sync::mpsc::Receiver::try_iter);
        let ordered: Vec<Ordered> = told.chain(commands.map(|command| Ordered::Command(command, epoch))).collect();
        let busy = !ordered.is_empty();
        ordered.into_iter().for_each(|ordered| self.sequencer.push(ordered));
        busy
    }

    fn answer(&mut self, answer: Answer) {
        self.answers.send(0, answer);
    }

    fn carry_out(&mut self, worker: &mut Worker, command: Command, epoch: u64) {
        match command {
            Command::Group(_) => {}
            Command::Declare(source) => {
                self.engine.borrow_mut().declare(worker, &source, false);
                let (name, queryable) = (source.name.clone(), source.queryable);
                self.sources.insert(name.clone(), source);
                if queryable {
                    self.want(&name, Offset::Earliest);
                }
            }
            Command::Install { view, offset } => self.install(worker, view, offset),
            Command::Pause { view, paused } => self.engine.borrow_mut().pause(&view, paused),
            Command::Drop(name) => {
                self.remove(worker, &name);
            }
            Command::Subscribe { id, input, snapshot } => {
                let deliver = self.deliver.clone().map(|deliver| {
                    Box::new(move |batch| deliver(Answer::Changes(id, batch))) as weir_dataflow::engine::Deliver
                });
                let name = subscription(id);
                let input = if snapshot { self.read_again(worker, &input, &name) } else { input };
                let subscribed = self.engine.borrow_mut().subscribe(worker, &name, &input, epoch, snapshot, deliver);
                if let Err(reason) = subscribed {
                    self.answer(Answer::Failed(id, reason));
                }
                // Of a declared stream that nobody reads yet: with a snapshot from its beginning.
                let offset = if snapshot { Offset::Earliest } else { Offset::Latest };
                self.want(&input, offset);
            }
            Command::Unsubscribe(id) => {
                self.remove(worker, &subscription(id));
            }
            Command::Settle(id) => self.settling.push((id, None)),
            Command::Home(address) => {
                let _ = self.shared.home.send(Some(address));
            }
            Command::Stop => self.stopping = true,
        }
    }

    fn install(&mut self, worker: &mut Worker, mut view: View, offset: Offset) {
        view.lookups().for_each(|table| self.want(table, Offset::Earliest));
        let inputs: Vec<String> = view.inputs().into_iter().map(Into::into).collect();
        for input in inputs {
            let mut from = input.clone();
            if offset == Offset::Earliest {
                from = self.read_again(worker, &input, &view.name);
                view.redirect(&input, &from);
            }
            self.want(&from, offset);
        }
        if let Err(reason) = self.engine.borrow_mut().install(worker, &view, offset == Offset::Earliest) {
            tracing::error!(view = view.name, "cannot be kept: {reason}");
        }
    }

    /// The name under which a reader finds all of an input: a declared stream whose records so far have gone by is read
    /// again, for this reader alone.
    fn read_again(&mut self, worker: &mut Worker, input: &str, reader: &str) -> String {
        let begun_before = self.readings.get(input).is_some_and(|r| r.group != self.group);
        match self.sources.get(input).filter(|source| begun_before && !source.table) {
            None => input.into(),
            Some(source) => {
                let again = Source { name: format!("{input}{}", again_for(reader)), ..source.clone() };
                self.engine.borrow_mut().declare(worker, &again, false);
                let name = again.name.clone();
                self.sources.insert(name.clone(), again);
                name
            }
        }
    }

    /// Forgets a view, source or subscription, and what was read for it alone.
    fn remove(&mut self, worker: &mut Worker, name: &str) {
        self.engine.borrow_mut().remove(worker, name);
        self.sources.remove(name);
        self.readings.remove(name);
        let own: Vec<String> = self.sources.keys().filter(|s| s.ends_with(&again_for(name))).cloned().collect();
        for source in own {
            self.engine.borrow_mut().remove(worker, &source);
            self.sources.remove(&source);
            self.readings.remove(&source);
            self.shared.config.metrics.forget_source(&source);
        }
        self.stop_unread();
    }

    /// Notes that a declared source is to be read, when it is one and is not read yet.
    fn want(&mut self, name: &str, offset: Offset) {
        if let Some(source) = self.sources.get(name)
            && !self.readings.contains_key(name)
        {
            let offset = if source.table { Offset::Earliest } else { offset };
            self.readings.insert(name.into(), Reading::wanted(source.clone(), offset, self.group));
        }
    }

    /// Opens what the last group of commands wants to read.
    fn start_readings(&mut self, worker: &Worker) {
        let start = Start { worker: worker.index(), peers: worker.peers(), place: &self.shared.config.place };
        let mut tables = BTreeSet::new();
        for reading in self.readings.values_mut().filter(|r| r.group == self.group) {
            if let Some(columns) = self.engine.borrow().demand(&reading.source.name) {
                reading.demand(&columns);
            } else if reading.source.queryable {
                reading.demand(&(0..reading.source.schema.len()).collect::<Vec<_>>());
            }
            if let Err(e) = reading.open(&self.shared.config.topics, &start) {
                tracing::error!(source = reading.source.name, "cannot be read: {e}");
            }
            if reading.source.table {
                tables.insert(reading.source.name.clone());
            }
        }
        // What is read already may be asked for more columns.
        for reading in self.readings.values_mut() {
            if let Some(columns) = self.engine.borrow().demand(&reading.source.name) {
                reading.demand(&columns);
            }
        }
        let held: Vec<&mut Reading> =
            self.readings.values_mut().filter(|r| r.group == self.group && !r.source.table).collect();
        if !tables.is_empty() {
            held.into_iter().for_each(|r| r.held = true);
            self.groups.insert(self.group, Group { tables, told: false, ready: 0, epoch: 0 });
        }
    }

    /// Tells when this worker's share of a group's tables is read; admits streams when every worker's is.
    fn release(&mut self, peers: usize) {
        let mut tell = Vec::new();
        for (number, group) in &mut self.groups {
            let read = group.tables.iter().all(|t| self.readings.get(t).is_none_or(|r| r.ended()));
            if read && !group.told {
                group.told = true;
                tell.push(Ordered::TablesRead { group: *number, epoch: self.engine.borrow().epoch() });
            }
        }
        tell.into_iter().for_each(|t| self.sequencer.push(t));
        let done: Vec<u64> = self.groups.iter().filter(|(_, g)| g.ready >= peers).map(|(n, _)| *n).collect();
        for number in done {
            if let Some(group) = self.groups.remove(&number) {
                self.engine.borrow_mut().advance(group.epoch);
                self.readings.values_mut().filter(|r| r.group == number).for_each(|r| r.held = false);
            }
        }
    }

    /// Answers those who wait until all that the topics held is in the views.
    fn settle(&mut self) {
        if self.settling.is_empty() {
            return;
        }
        let read = self.readings.values().all(|r| !r.held && r.ended());
        let (epoch, closed) = {
            let engine = self.engine.borrow();
            (engine.epoch(), engine.frontiers())
        };
        let mut settled = Vec::new();
        self.settling.retain_mut(|(id, last)| {
            if last.is_none() && read {
                // A subscription that was asked for before begins no later.
                *last = Some(epoch + 2);
            }
            let open = last.is_none_or(|last| closed <= last);
            if !open {
                settled.push(*id);
            }
            open
        });
        settled.into_iter().for_each(|id| self.answer(Answer::Done(id)));
    }

    /// Stops reading what no view reads any more and no client may ask for.
    fn stop_unread(&mut self) {
        let engine = self.engine.borrow();
        self.readings.retain(|name, reading| reading.source.queryable || engine.demand(name).is_some());
    }

    /// Polls every reader once and hands in what it brought.
    fn read(&mut self) -> bool {
        let ahead = u64::try_from(AHEAD.as_millis()).unwrap_or(2000) / self.epoch_ms;
        let open = {
            let engine = self.engine.borrow();
            engine.epoch().saturating_sub(engine.frontiers())
        };
        if open > ahead.max(8) {
            return false;
        }
        let mut busy = false;
        let config = &self.shared.config;
        let limit = if config.every_change { Limit { records: 1, ..Limit::default() } } else { Limit::default() };
        for (name, reading) in self.readings.iter_mut().filter(|(_, r)| !r.held) {
            let mut batches = VecDeque::new();
            if let Err(e) = reading.poll(&config.topics, limit, &config.metrics, &config.log, &mut batches) {
                tracing::error!(source = name, "cannot be read: {e}");
            }
            for batch in batches {
                busy = true;
                let mut engine = self.engine.borrow_mut();
                engine.send(name, batch);
                if config.every_change {
                    let next = engine.epoch() + 1;
                    engine.advance(next);
                }
            }
            safepoint::reached();
        }
        busy
    }

    /// Sends what this process has to say.
    fn speak(&mut self) {
        let words: Vec<Word> = self.said.iter().flat_map(std::sync::mpsc::Receiver::try_iter).collect();
        words.into_iter().for_each(|word| self.answer(Answer::Word(word)));
    }

    /// Hands counts to the metrics and failures to the processing log.
    fn report(&mut self) {
        super::reading::report(&self.engine.borrow().reports(), &self.shared.config.metrics, &self.shared.config.log);
        for (view, rows) in self.engine.borrow_mut().take_row_counts() {
            // Declared sources are counted where they are read; subscriptions come and go.
            if !self.sources.contains_key(&view) && !is_subscription(&view) {
                self.shared.config.metrics.view_changes(&view).inc_by(rows);
            }
        }
    }
}

/// How the name of a source ends that is read for one reader alone.
fn again_for(reader: &str) -> String {
    format!(" from the beginning for {reader}")
}

fn subscription(id: u64) -> String {
    format!("subscription {id}")
}

fn is_subscription(name: &str) -> bool {
    name.strip_prefix("subscription ").is_some_and(|id| id.parse::<u64>().is_ok())
}
