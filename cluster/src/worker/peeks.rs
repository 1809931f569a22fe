//! What is asked of tables, answered by each worker between and amid its steps.
//!
//! Who asks tells at once the workers of process 0 that may have such rows: for some keys their keepers alone. The first one
//! that comes to it chooses the epoch, and each answers for its own rows, straight to who asked: nobody waits for the
//! dataflow, which carries the question to other processes only.

use crate::command::{Answer, Ask, Deliver, Moment};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use weir_dataflow::engine::{Engine, GONE};
use weir_dataflow::plan::query::RowQuery;

/// What a worker was asked.
pub struct Peeks {
    engine: Rc<RefCell<Engine>>,
    asks: Option<Receiver<Arc<Ask>>>,
    waiting: Vec<Arc<Ask>>,
    /// The number of the latest command that this worker has carried out.
    carried_out: u64,
    deliver: Deliver,
    /// What workers of other processes have not been told yet, if this worker is to tell them.
    untold: Option<Vec<Told>>,
}

/// What workers of other processes are told of a peek.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// The request.
    pub id: u64,
    /// Which rows.
    pub query: RowQuery,
    /// When.
    pub moment: Moment,
}

impl Peeks {
    /// Of what comes out of `asks`. `tells`: this worker tells other processes.
    pub fn new(engine: Rc<RefCell<Engine>>, asks: Option<Receiver<Arc<Ask>>>, deliver: Deliver, tells: bool) -> Self {
        let untold = tells.then(Vec::new);
        Peeks { engine, asks, waiting: Vec::new(), carried_out: 0, deliver, untold }
    }

    /// The worker carries out its so many-th command: what was asked after it may be answered.
    pub fn carry_out(&mut self, command: u64) {
        self.carried_out = command;
    }

    /// What other processes are to be told since this was asked last.
    pub fn untold(&mut self) -> Vec<Told> {
        self.untold.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Answers what can be answered at this moment.
    pub fn serve(&mut self) {
        self.waiting.extend(self.asks.iter().flat_map(Receiver::try_iter));
        if self.waiting.is_empty() {
            return;
        }
        // While the worker is at work on its views, it comes back to what waits.
        let Ok(engine) = self.engine.try_borrow() else { return };
        let (carried_out, deliver, untold) = (self.carried_out, &self.deliver, &mut self.untold);
        self.waiting.retain(|ask| {
            let input = &ask.query.input;
            if ask.after > carried_out {
                return true;
            }
            // Of what is not there no epoch is closed.
            let closed = if engine.is_kept(input) { engine.frontier(input).saturating_sub(1) } else { 0 };
            // Who would choose an epoch that has gone here waits for a later one to close.
            if !engine.can_peek(input, if ask.is_chosen() { u64::MAX } else { closed }) {
                return true;
            }
            let moment = ask.moment(closed, carried_out);
            if moment.commands > carried_out {
                return true;
            }
            answer(&engine, ask.id, &ask.query, moment, carried_out, |answer| deliver(answer));
            if let Some(untold) = untold.as_mut().filter(|_| ask.everywhere) {
                untold.push(Told { id: ask.id, query: ask.query.clone(), moment });
            }
            false
        });
    }
}

/// The answer of a worker that has carried out so many commands.
pub fn answer(
    engine: &Engine,
    id: u64,
    query: &RowQuery,
    moment: Moment,
    carried_out: u64,
    mut give: impl FnMut(Answer),
) {
    let rows = if moment.commands == carried_out { engine.peek(query, moment.epoch) } else { Err(GONE.into()) };
    match rows {
        Ok(rows) => {
            for rows in chunks(rows) {
                give(Answer::Rows(id, rows));
            }
            give(Answer::Done(id));
        }
        Err(reason) => give(Answer::Failed(id, reason)),
    }
}

/// Rows in pieces that travel well.
fn chunks(mut rows: Vec<weir_dataflow::views::change::Row>) -> Vec<Vec<weir_dataflow::views::change::Row>> {
    const PIECE: usize = 4096;
    let mut out = Vec::new();
    while rows.len() > PIECE {
        let rest = rows.split_off(PIECE);
        out.push(std::mem::replace(&mut rows, rest));
    }
    out.push(rows);
    out
}
