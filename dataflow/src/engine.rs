//! One worker's sources and views, and the work between two steps of timely.
//!
//! The worker installs nodes, hands in batches at the current epoch, steps timely, and calls [`Engine::pump`], which
//! carries what came out of each node to those that read it. Peeks read a table's store directly; subscriptions are nodes
//! like any other.

use crate::plan::join::{Join, Matching};
use crate::plan::query::RowQuery;
use crate::plan::{Aggregate, Pipeline, Source, Step, View, ViewKind, Windowing};
use crate::render::finish::Finish;
use crate::render::group::{self, Grouping};
use crate::render::keyed::{self, Kept, Selection, Shape, Windows};
use crate::render::port::{Flow, Inlet, Outlet};
use crate::render::table_changes::{TableChanges, Wanted};
use crate::render::windows::Hops;
use crate::render::{Reports, SharedReports, arrivals, finals, lookup, paired, steps, tables, within};
use crate::row::{Batch, Schema, packed};
use crate::time::WindowSpec;
use crate::views::change::{ChangeBatch, Row};
use crate::views::{peek, subscribe};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::Scope;
use timely::worker::Worker;

/// Where a subscription's changes go.
pub type Deliver = Box<dyn FnMut(ChangeBatch)>;

/// What looks at a stream's batches.
pub type Tap = Box<dyn FnMut(&Batch)>;

/// Records of a stream's output that are kept for those who come later.
const RECENT: usize = 50_000;

/// What a node reads.
enum Port {
    Batches(Inlet<Batch>),
    /// And what is wanted of them.
    Changes(Inlet<Arc<TableChanges>>, Wanted),
}

/// One way into a node.
struct Input {
    /// What is read; empty: what is handed in.
    from: String,
    port: Port,
    /// The columns that are read; `None`: all.
    reads: Option<Vec<usize>>,
}

/// What a node brings.
enum Out {
    /// A declared stream: its batches are handed on as they come in.
    Source,
    Batches(Outlet<Batch>),
    Changes(Outlet<Arc<TableChanges>>),
    /// A subscription: nothing.
    None,
}

struct Node {
    schema: Schema,
    windowed: bool,
    dataflow: Option<usize>,
    inputs: Vec<Input>,
    out: Out,
    kept: Option<Rc<RefCell<Kept>>>,
    /// Its joins: nodes that come and go with it.
    joins: Vec<String>,
    /// Of a stream: the latest batches.
    recent: VecDeque<Batch>,
    /// How many records or changes are kept.
    recent_records: usize,
    /// Of a table: all changes so far; `None` when there were too many or they are not kept.
    changes: Option<Vec<Arc<TableChanges>>>,
    /// Its partitions are dealt out to several workers, batch by batch.
    split: bool,
    /// Rows that came out of it on this worker, since they were last asked for.
    rows: u64,
    /// Looks at a stream's batches.
    tap: Option<Tap>,
}

impl Node {
    fn new(schema: Schema, dataflow: Option<usize>, inputs: Vec<Input>, out: Out) -> Self {
        Node {
            schema,
            windowed: false,
            dataflow,
            inputs,
            out,
            kept: None,
            joins: Vec::new(),
            recent: VecDeque::new(),
            recent_records: 0,
            changes: None,
            split: false,
            rows: 0,
            tap: None,
        }
    }

    fn is_table(&self) -> bool {
        matches!(self.out, Out::Changes(_))
    }
}

/// Why a peek fails that came too late: the same one, asked again, is of a newer epoch.
pub const GONE: &str = "the rows as of the asked epoch are gone: ask again";

/// How an engine runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep the most recent part of each stream's output in memory.
    pub keep_recent: bool,
    /// Work out and keep tables' changes from their first on, as long as they are not many: who comes later sees each of
    /// them, not only what is there. At the cost of throughput and memory.
    pub keep_changes: bool,
    /// The inputs end, and [`Engine::end`] says when: joined streams wait for one another, so that what comes out does not
    /// depend on which is read faster; tables are read when all is in, and not before.
    pub finite: bool,
}

/// See the module's head.
pub struct Engine {
    options: Options,
    nodes: BTreeMap<String, Node>,
    /// Names in order of installation: a node after those that it reads.
    order: Vec<String>,
    epoch: u64,
    reports: SharedReports,
    /// Streams whose rows have a key of their own: one of nulls is a key too.
    rekeyed: BTreeSet<String>,
}

impl Engine {
    /// With nothing in it, at epoch 0.
    pub fn new(options: Options) -> Self {
        Engine {
            options,
            nodes: BTreeMap::new(),
            order: Vec::new(),
            epoch: 0,
            reports: Rc::new(RefCell::new(Reports::default())),
            rekeyed: BTreeSet::new(),
        }
    }

    /// The epoch of what is handed in now.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes what the dataflows reported since the last call.
    pub fn reports(&self) -> Reports {
        self.reports.take()
    }

    /// True when there is a source or view of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.nodes.contains_key(name)
    }

    /// The schema of a source or view.
    pub fn schema(&self, name: &str) -> Option<&Schema> {
        self.nodes.get(name).map(|n| &n.schema)
    }

    /// Rows (streams) or changes (tables that somebody listens to) that came out of each node on this worker since the
    /// last call, by name.
    pub fn take_row_counts(&mut self) -> Vec<(String, u64)> {
        self.nodes.iter_mut().map(|(name, node)| (name.clone(), std::mem::take(&mut node.rows))).collect()
    }

    /// Shows every batch that comes out of a stream view on this worker from now on.
    pub fn tap(&mut self, name: &str, tap: Tap) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.tap = Some(tap);
        }
    }

    /// Adds a declared source. `split`: its partitions are dealt out to several workers, batch by batch.
    pub fn declare(&mut self, worker: &mut Worker, source: &Source, split: bool) {
        let windowed = source.topic.window.is_some();
        let (dataflow, inputs, out, kept) = if source.table {
            let shape = Shape {
                windows: Windows::None,
                retention: i64::MAX,
                finish: Finish::Row,
                final_grace: None,
                tells_ends: false,
            };
            let dataflow = worker.next_dataflow_index();
            let (schema, frontier, reports) = (source.schema.clone(), self.epoch, self.reports.clone());
            let (inlet, kept, outlet) = worker.dataflow_named::<u64, _, _>(&source.name, |scope| {
                let (inlet, records) = Inlet::new(scope, frontier);
                let parcels = tables::records(records, schema);
                let (kept, changes) = keyed::render(parcels, shape, group::groups(&scope), &source.name, &reports);
                (inlet, kept, Outlet::new(changes))
            });
            let input = Input { from: String::new(), port: Port::Batches(inlet), reads: None };
            (Some(dataflow), vec![input], Out::Changes(outlet), Some(kept))
        } else {
            (None, Vec::new(), Out::Source, None)
        };
        let node = Node { windowed, kept, split, ..Node::new(source.schema.clone(), dataflow, inputs, out) };
        self.add(source.name.clone(), node);
    }

    /// Adds a view, its joins before it. With `replay`, a stream view's output so far is read first.
    ///
    /// # Errors
    /// It reads something that is not there, or asks for what the engine does not do.
    pub fn install(&mut self, worker: &mut Worker, view: &View, replay: bool) -> Result<(), String> {
        for join in &view.joins {
            if let Err(reason) = self.install_join(worker, join, &view.name, replay) {
                view.joins.iter().for_each(|join| self.remove(worker, &join.name));
                return Err(reason);
            }
        }
        let wants_table = match &view.kind {
            ViewKind::Stream(_) => false,
            ViewKind::Table(_) => true,
            ViewKind::Aggregate(a) => a.retracts,
        };
        let pipeline = view.pipeline();
        let checked = self.check(pipeline, wants_table, &view.name);
        let (input_schema, split) = match checked {
            Ok(input) => input,
            Err(reason) => {
                view.joins.iter().for_each(|join| self.remove(worker, &join.name));
                return Err(reason);
            }
        };
        let dataflow = worker.next_dataflow_index();
        let (frontier, reports, finite) = (self.epoch, self.reports.clone(), self.options.finite);
        let (inputs, out, kept) = worker.dataflow_named::<u64, _, _>(&view.name, |scope| {
            let view_name = &view.name;
            let mut building =
                Building { scope, view: view_name, frontier, reports: &reports, finite, inputs: Vec::new() };
            let (out, kept) = building.view(view, &input_schema, split);
            (building.inputs, out, kept)
        });
        let node = Node {
            windowed: view.is_windowed(),
            kept,
            split,
            joins: view.joins.iter().map(|join| join.name.clone()).collect(),
            ..Node::new(view.schema.clone(), Some(dataflow), inputs, out)
        };
        if view.rekeys(input_schema.key.len()) {
            self.rekeyed.insert(view.name.clone());
        }
        self.add(view.name.clone(), node);
        self.prime(worker, &view.name, replay);
        Ok(())
    }

    /// Adds one of a view's joins.
    fn install_join(&mut self, worker: &mut Worker, join: &Join, view: &str, replay: bool) -> Result<(), String> {
        let left = self.check(&join.left.input, join.is_table(), view)?;
        let right = self.check(&join.right.input, join.is_table(), view)?;
        let dataflow = worker.next_dataflow_index();
        let (frontier, reports, finite) = (self.epoch, self.reports.clone(), self.options.finite);
        let (inputs, out) = worker.dataflow_named::<u64, _, _>(&join.name, |scope| {
            let mut building = Building { scope, view, frontier, reports: &reports, finite, inputs: Vec::new() };
            let out = building.join(join, left, right);
            (building.inputs, out)
        });
        self.add(join.name.clone(), Node::new(join.schema(), Some(dataflow), inputs, out));
        self.prime(worker, &join.name, replay);
        Ok(())
    }

    /// The schema of what a pipeline reads, and whether its partitions are dealt out to several workers.
    fn check(&self, pipeline: &Pipeline, table: bool, view: &str) -> Result<(Schema, bool), String> {
        let input = self.nodes.get(&pipeline.input).ok_or_else(|| format!("'{}' is not there", pipeline.input))?;
        if input.is_table() != table {
            let kind = if input.is_table() { "table" } else { "stream" };
            return Err(format!("'{}' is a {kind}, which '{view}' cannot read that way", pipeline.input));
        }
        for step in &pipeline.steps {
            if let Step::Lookup(l) = step
                && self.nodes.get(&l.table).is_none_or(|n| n.kept.is_none())
            {
                return Err(format!("table '{}' is not there", l.table));
            }
        }
        Ok((input.schema.clone(), input.split))
    }

    /// Adds a subscription under a name of its own. On the worker that has `deliver`, every closed batch of changes is
    /// given to it, from the epoch `at` on; with `snapshot`, first what is there.
    ///
    /// # Errors
    /// There is no such source or view.
    pub fn subscribe(
        &mut self,
        worker: &mut Worker,
        name: &str,
        input: &str,
        at: u64,
        snapshot: bool,
        deliver: Option<Deliver>,
    ) -> Result<(), String> {
        let source = self.nodes.get(input).ok_or_else(|| format!("'{input}' is not there"))?;
        let (schema, table) = (source.schema.clone(), source.kept.is_some());
        let dataflow = worker.next_dataflow_index();
        let rekeyed = self.rekeyed.contains(input);
        let first = (!self.options.keep_changes).then_some(at);
        let port = worker.dataflow_named::<u64, _, _>(name, |scope| {
            if table {
                let (inlet, changes) = Inlet::new(scope, at);
                subscribe::changes(changes, &schema, first, deliver);
                Port::Changes(inlet, Wanted::New)
            } else {
                let (inlet, batches) = Inlet::new(scope, at);
                subscribe::records(batches, &schema, rekeyed, deliver);
                Port::Batches(inlet)
            }
        });
        let input = Input { from: input.to_owned(), port, reads: None };
        let node = Node::new(schema, Some(dataflow), vec![input], Out::None);
        self.add(name.to_owned(), node);
        self.prime(worker, name, snapshot);
        Ok(())
    }

    fn add(&mut self, name: String, mut node: Node) {
        node.inputs.iter_mut().for_each(|input| input.port.begin());
        if let Some(kept) = node.kept.as_ref().filter(|_| self.options.keep_changes) {
            kept.borrow_mut().listen(Wanted::OldAndNew);
            node.changes = Some(Vec::new());
        }
        if let Some(kept) = node.kept.as_ref().filter(|_| self.options.finite) {
            kept.borrow_mut().read_at_end();
        }
        self.order.retain(|n| *n != name);
        self.order.push(name.clone());
        self.nodes.insert(name, node);
    }

    /// Stops a view from taking what comes, or lets it go on with what came meanwhile, which waits in memory. Its rows can
    /// be read all the time.
    pub fn pause(&mut self, name: &str, paused: bool) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        for input in &mut node.inputs {
            match (&mut input.port, paused) {
                (Port::Batches(inlet), true) => inlet.pause(),
                (Port::Batches(inlet), false) => inlet.resume(),
                (Port::Changes(inlet, _), true) => inlet.pause(),
                (Port::Changes(inlet, _), false) => inlet.resume(),
            }
        }
        let joins = node.joins.clone();
        joins.iter().for_each(|join| self.pause(join, paused));
    }

    /// Removes a source, view (with its joins) or subscription.
    pub fn remove(&mut self, worker: &mut Worker, name: &str) {
        if let Some(mut node) = self.nodes.remove(name) {
            let joins = std::mem::take(&mut node.joins);
            self.order.retain(|n| n != name);
            self.rekeyed.remove(name);
            if let Some(dataflow) = node.dataflow {
                drop(node);
                worker.drop_dataflow(dataflow);
            }
            joins.iter().for_each(|join| self.remove(worker, join));
        }
        for (name, node) in &self.nodes {
            if let Some(kept) = node.kept.as_ref().filter(|_| node.changes.is_none()) {
                let readers = self.nodes.values().flat_map(|n| &n.inputs).filter(|input| input.from == *name);
                kept.borrow_mut().listen(readers.map(|input| input.port.wanted()).max().unwrap_or_default());
            }
        }
    }

    /// Gives a new node what its inputs hold already: a table's rows, and if `recent` a stream's latest output. All comes at
    /// the first epoch that is open there (0 becomes that): whenever a worker comes to it, it is one batch.
    fn prime(&mut self, worker: &mut Worker, name: &str, recent: bool) {
        // What has come out goes to the older readers before the new one gets its first look.
        self.pump_but(Some(name));
        while self.inputs_are_ahead(name) {
            worker.step_or_park(Some(std::time::Duration::from_millis(1)));
            self.pump_but(Some(name));
        }
        let Some(mut node) = self.nodes.remove(name) else { return };
        for Input { from, port, .. } in &mut node.inputs {
            let Some(source) = self.nodes.get(from) else { continue };
            match port {
                Port::Changes(inlet, wanted) => {
                    if let Some(changes) = &source.changes {
                        changes.iter().for_each(|changes| inlet.send(0, Arc::clone(changes)));
                    } else if let Some(kept) = &source.kept {
                        let snapshot = kept.borrow_mut().snapshot(self.out_frontier(source), *wanted);
                        if !snapshot.is_empty() {
                            inlet.send(0, Arc::new(snapshot));
                        }
                    }
                }
                Port::Batches(inlet) => {
                    if recent {
                        source.recent.iter().for_each(|batch| inlet.send(0, batch.clone()));
                    }
                }
            }
        }
        self.nodes.insert(name.to_owned(), node);
    }

    /// A table that a node reads has put in far more than what has come out of it, or told less of it than the node wants.
    fn inputs_are_ahead(&self, name: &str) -> bool {
        let inputs = self.nodes.get(name).map(|node| &node.inputs);
        inputs.into_iter().flatten().any(|input| {
            let Some(source) = self.nodes.get(&input.from) else { return false };
            let frontier = self.out_frontier(source);
            source.kept.as_ref().is_some_and(|kept| kept.borrow().is_ahead(frontier, input.port.wanted()))
        })
    }

    /// The columns of a declared source that somebody reads, ascending; `None` when nobody reads it.
    pub fn demand(&self, source: &str) -> Option<Vec<usize>> {
        let node = self.nodes.get(source)?;
        let all = || (0..node.schema.len()).collect::<BTreeSet<usize>>();
        let mut columns = BTreeSet::new();
        let mut read = false;
        for reader in self.nodes.values() {
            for input in reader.inputs.iter().filter(|i| i.from == source) {
                read = true;
                match &input.reads {
                    Some(reads) => columns.extend(reads.iter().copied()),
                    None => columns.extend(all()),
                }
            }
        }
        if node.kept.is_some() {
            columns.extend(all());
        }
        read.then(|| columns.into_iter().collect())
    }

    /// Hands in a batch of a declared source at the current epoch.
    pub fn send(&mut self, source: &str, batch: Batch) {
        let epoch = self.epoch;
        match self.nodes.get_mut(source) {
            Some(node) if node.kept.is_some() => {
                node.rows += batch.len() as u64;
                if let Some(Input { port: Port::Batches(inlet), .. }) = node.inputs.first_mut() {
                    inlet.send(epoch, batch);
                }
            }
            Some(node) => {
                node.rows += batch.len() as u64;
                let width = node.schema.len();
                self.each_reader(source, None, |port, reads| {
                    if let Port::Batches(inlet) = port {
                        inlet.send(epoch, batch.narrowed(reads, width));
                    }
                });
            }
            None => {}
        }
    }

    /// Says that nothing more of a declared source is handed in on this worker.
    pub fn end(&mut self, source: &str) {
        let Some(node) = self.nodes.get_mut(source) else { return };
        if matches!(node.out, Out::Source) {
            self.each_reader(source, None, |port, _| port.advance(u64::MAX));
        } else {
            node.inputs.iter_mut().filter(|i| i.from.is_empty()).for_each(|i| i.port.advance(u64::MAX));
        }
    }

    /// Closes every epoch before this one for what is handed in.
    pub fn advance(&mut self, epoch: u64) {
        if epoch <= self.epoch {
            return;
        }
        self.epoch = epoch;
        let sources: BTreeSet<String> =
            self.nodes.iter().filter(|(_, n)| matches!(n.out, Out::Source)).map(|(name, _)| name.clone()).collect();
        for node in self.nodes.values_mut() {
            for Input { from, port, .. } in &mut node.inputs {
                if from.is_empty() || sources.contains(from) {
                    port.advance(epoch);
                }
            }
        }
    }

    /// Carries what came out of each node to those that read it.
    pub fn pump(&mut self) {
        self.pump_but(None);
    }

    fn pump_but(&mut self, except: Option<&str>) {
        for i in 0..self.order.len() {
            let Some(name) = self.order.get(i).cloned() else { break };
            let keep_recent = self.options.keep_recent;
            let Some(node) = self.nodes.get_mut(&name) else { continue };
            match &node.out {
                Out::Batches(outlet) => {
                    // The frontier first: what comes after it is looked at next time.
                    let (frontier, items) = (outlet.frontier(), outlet.take());
                    for (_, batch) in &items {
                        node.rows += batch.len() as u64;
                        if let Some(tap) = &mut node.tap {
                            tap(batch);
                        }
                        if keep_recent && !batch.is_empty() {
                            node.recent_records += batch.len();
                            node.recent.push_back(batch.clone());
                        }
                    }
                    while node.recent_records > RECENT
                        && let Some(batch) = node.recent.pop_front()
                    {
                        node.recent_records -= batch.len();
                    }
                    let width = node.schema.len();
                    self.each_reader(&name, except, |port, reads| {
                        if let Port::Batches(inlet) = port {
                            items.iter().for_each(|(epoch, batch)| inlet.send(*epoch, batch.narrowed(reads, width)));
                        }
                        port.advance(frontier);
                    });
                }
                Out::Changes(outlet) => {
                    // Of closed epochs, so that it is known which of them a new reader has in its first look.
                    let frontier = outlet.frontier();
                    let items = outlet.take_before(frontier);
                    node.rows += items.iter().map(|(_, c)| c.len() as u64).sum::<u64>();
                    if let Some(changes) = &mut node.changes {
                        changes.extend(items.iter().map(|(_, changes)| Arc::clone(changes)));
                        node.recent_records += items.iter().map(|(_, c)| c.len()).sum::<usize>();
                        if node.recent_records > RECENT {
                            node.changes = None;
                        }
                    }
                    self.each_reader(&name, except, |port, _| {
                        if let Port::Changes(inlet, _) = port {
                            items.iter().for_each(|(epoch, changes)| inlet.send(*epoch, Arc::clone(changes)));
                        }
                        port.advance(frontier);
                    });
                }
                Out::Source | Out::None => {}
            }
        }
    }

    /// Shows the ways in for what a node brings, with the columns that are read there (`None`: all).
    fn each_reader(&mut self, name: &str, except: Option<&str>, mut each: impl FnMut(&mut Port, Option<&[usize]>)) {
        for (reader, node) in &mut self.nodes {
            if Some(reader.as_str()) == except {
                continue;
            }
            for Input { port, reads, .. } in node.inputs.iter_mut().filter(|i| i.from == name) {
                each(port, reads.as_deref());
            }
        }
    }

    fn out_frontier(&self, node: &Node) -> u64 {
        match &node.out {
            Out::Batches(outlet) => outlet.frontier(),
            Out::Changes(outlet) => outlet.frontier(),
            Out::Source | Out::None => self.epoch,
        }
    }

    /// The first epoch that is not closed at a node, on all workers.
    pub fn frontier(&self, name: &str) -> u64 {
        self.nodes.get(name).map_or(u64::MAX, |node| self.out_frontier(node))
    }

    /// The first epoch that is not closed everywhere.
    pub fn frontiers(&self) -> u64 {
        self.nodes.values().map(|node| self.out_frontier(node)).min().unwrap_or(self.epoch)
    }

    /// It is a table, whose rows can be asked for.
    pub fn is_kept(&self, name: &str) -> bool {
        self.nodes.get(name).is_some_and(|node| node.kept.is_some())
    }

    /// A table can be [read](Engine::peek) at this moment as of an epoch: not amid an operator's work on it, where a
    /// [safepoint](crate::safepoint) is reached. What is no table can be found to be none.
    pub fn can_peek(&self, name: &str, as_of: u64) -> bool {
        let kept = self.nodes.get(name).and_then(|node| node.kept.as_ref());
        kept.is_none_or(|kept| kept.try_borrow().is_ok_and(|kept| kept.is_free() && kept.since() <= as_of))
    }

    /// The rows that a query asks for and this worker keeps, as of a closed epoch.
    ///
    /// # Errors
    /// There is no such table, or it cannot be read as of that epoch any more.
    pub fn peek(&self, query: &RowQuery, as_of: u64) -> Result<Vec<Row>, String> {
        let node = self.nodes.get(&query.input).ok_or_else(|| format!("'{}' is not there", query.input))?;
        let kept = node.kept.as_ref().ok_or_else(|| format!("'{}' is a stream and keeps no rows", query.input))?;
        let kept = kept.borrow();
        if kept.since() > as_of {
            return Err(GONE.into());
        }
        Ok(peek::rows(&kept, &node.schema, node.windowed, query, as_of))
    }

    /// Shows all rows that this worker keeps of a table, as of the newest epoch.
    pub fn scan(&self, name: &str, each: impl FnMut(keyed::PackedRow<'_>)) {
        if let Some(kept) = self.nodes.get(name).and_then(|n| n.kept.as_ref()) {
            let selection =
                Selection { keys: None, bounds_behind: false, starts: (i64::MIN, i64::MAX), as_of: u64::MAX };
            kept.borrow_mut().rows(&selection, each);
        }
    }

    /// Updates that this worker holds of a table.
    pub fn updates(&self, name: &str) -> usize {
        self.nodes.get(name).and_then(|n| n.kept.as_ref()).map_or(0, |k| k.borrow().updates())
    }
}

impl Port {
    /// What is wanted of a table's changes.
    fn wanted(&self) -> Wanted {
        match self {
            Port::Batches(_) => Wanted::Nothing,
            Port::Changes(_, wanted) => *wanted,
        }
    }

    fn begin(&mut self) {
        match self {
            Port::Batches(inlet) => inlet.begin(),
            Port::Changes(inlet, _) => inlet.begin(),
        }
    }

    fn advance(&mut self, epoch: u64) {
        match self {
            Port::Batches(inlet) => inlet.advance(epoch),
            Port::Changes(inlet, _) => inlet.advance(epoch),
        }
    }
}

/// A node's dataflow while it is built.
struct Building<'a, 'scope> {
    scope: Scope<'scope, u64>,
    /// The view, for what is reported.
    view: &'a str,
    frontier: u64,
    reports: &'a SharedReports,
    finite: bool,
    inputs: Vec<Input>,
}

impl<'scope> Building<'_, 'scope> {
    fn view(&mut self, view: &View, input: &Schema, split: bool) -> (Out, Option<Rc<RefCell<Kept>>>) {
        let groups = group::groups(&self.scope);
        let (parcels, shape) = match &view.kind {
            ViewKind::Stream(pipeline) => {
                return (Out::Batches(Outlet::new(self.stream(pipeline))), None);
            }
            ViewKind::Aggregate(aggregate) => {
                let Aggregate { group, calls, window, .. } = aggregate;
                let grouping = Grouping { group: group.clone(), calls: calls.clone(), window: *window };
                let parcels = if aggregate.retracts {
                    let changes = self.changes(&aggregate.input.input, Wanted::OldAndNew);
                    let steps = aggregate.input.clone();
                    tables::groups(changes, input.clone(), steps, grouping, self.view, self.reports)
                } else {
                    group::render(self.stream(&aggregate.input), grouping, &groups, split, self.view, self.reports)
                };
                (parcels, shape(aggregate))
            }
            ViewKind::Table(pipeline) => {
                let changes = self.changes(&pipeline.input, Wanted::OldAndNew);
                let (steps, output) = (pipeline.clone(), view.schema.clone());
                let parcels = tables::rows(changes, input.clone(), steps, output, self.view, self.reports);
                let shape = Shape {
                    windows: Windows::None,
                    retention: i64::MAX,
                    finish: Finish::Row,
                    final_grace: None,
                    tells_ends: view.joins.iter().any(|join| join.on == Matching::Foreign),
                };
                (parcels, shape)
            }
        };
        let (windows, final_grace) = (shape.windows, shape.final_grace);
        let (kept, mut changes) = keyed::render(parcels, shape, groups, self.view, self.reports);
        if let Some(grace) = final_grace {
            changes = finals::render(changes, &kept, windows, grace);
        }
        (Out::Changes(Outlet::new(changes)), Some(kept))
    }

    /// A join. Of each side: the schema of what it reads, and whether its partitions are dealt out.
    fn join(&mut self, join: &Join, left: (Schema, bool), right: (Schema, bool)) -> Out {
        match join.on {
            Matching::Within { before_ms, after_ms, grace_ms } => {
                let window = within::Window { before: before_ms, after: after_ms, grace: grace_ms };
                let mut side = |side: &crate::plan::join::Side, right: bool, split: bool| {
                    let stream = self.stream(&side.input);
                    arrivals::render(stream, side.clone(), right, split, self.view, self.reports)
                };
                let left = side(&join.left, false, left.1);
                let right = side(&join.right, true, right.1);
                Out::Batches(Outlet::new(within::render(
                    left,
                    right,
                    join,
                    window,
                    self.finite,
                    self.view,
                    self.reports,
                )))
            }
            Matching::Primary | Matching::Foreign => {
                let foreign = join.on == Matching::Foreign;
                let left = (self.changes(&join.left.input.input, Wanted::OldAndNew), left.0);
                let right = (self.changes(&join.right.input.input, Wanted::OldAndNew), right.0);
                Out::Changes(Outlet::new(paired::render(left, right, join, foreign, self.view, self.reports)))
            }
        }
    }

    /// A table's changes.
    fn changes(&mut self, table: &str, wanted: Wanted) -> Flow<'scope, Arc<TableChanges>> {
        let (inlet, changes) = Inlet::new(self.scope, self.frontier);
        self.inputs.push(Input { from: table.to_owned(), port: Port::Changes(inlet, wanted), reads: None });
        changes
    }

    /// A stream through its steps; each lookup gets a way in for its table.
    fn stream(&mut self, pipeline: &Pipeline) -> Flow<'scope, Batch> {
        let (inlet, mut stream) = Inlet::new(self.scope, self.frontier);
        let reads = Some(pipeline.columns.clone());
        self.inputs.push(Input { from: pipeline.input.clone(), port: Port::Batches(inlet), reads });
        let mut pending = Vec::new();
        for step in &pipeline.steps {
            match step {
                Step::Lookup(lookup) => {
                    if !pending.is_empty() {
                        let steps = std::mem::take(&mut pending);
                        stream = steps::render(stream, steps, None, self.view, self.reports);
                    }
                    let changes = self.changes(&lookup.table, Wanted::New);
                    stream = lookup::render(stream, changes, lookup.clone(), self.view, self.reports);
                }
                Step::Filter(_) | Step::Project(_) | Step::Explode(_) => pending.push(step.clone()),
            }
        }
        if !pending.is_empty() || pipeline.keep_tombstones.is_none() {
            let values = pipeline.keep_tombstones.clone();
            stream = steps::render(stream, pending, values, self.view, self.reports);
        }
        stream
    }
}

/// How long a window is kept after its start (a session: after its end). With EMIT FINAL it shows only when it is over, and
/// is kept as long from then on.
fn retention(window: Windowing) -> i64 {
    let shown = match (window.emit_final, window.spec) {
        (false, _) => 0,
        (true, WindowSpec::Tumbling { size } | WindowSpec::Hopping { size, .. }) => size.saturating_add(window.grace.0),
        (true, WindowSpec::Session { gap }) => gap.saturating_add(window.grace.0),
    };
    window.retention_ms.saturating_add(shown)
}

fn shape(aggregate: &Aggregate) -> Shape {
    let windows = match aggregate.window.map(|w| w.spec) {
        None => Windows::None,
        Some(WindowSpec::Session { gap }) => Windows::Sessions(gap),
        Some(spec) => Hops::new(spec).map_or(Windows::None, Windows::Hops),
    };
    Shape {
        windows,
        retention: aggregate.window.map_or(i64::MAX, retention),
        finish: Finish::Aggregate(Box::new(aggregate.clone())),
        final_grace: aggregate.window.filter(|w| w.emit_final).map(|w| w.grace.0),
        tells_ends: false,
    }
}

/// The packed form of a key.
pub fn packed_key(key: &[crate::row::Value]) -> Vec<u8> {
    let mut out = Vec::new();
    packed::push_all(&mut out, key);
    out
}
