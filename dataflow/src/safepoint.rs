//! Points at which a busy worker lets others have a look at what it keeps.
//!
//! A step of a worker may take as long as an epoch's end does, and who asks for a row would wait for all of it. So operators
//! tell between two batches, and amid a merge, that a *safepoint* (as virtual machines call it) is reached: the tables that
//! the operator is not at work on can be read there.

use std::cell::RefCell;

thread_local! {
    static TODO: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

/// This thread does this at each safepoint from now on; `None`: nothing.
pub fn set(todo: Option<Box<dyn FnMut()>>) {
    TODO.with(|old| *old.borrow_mut() = todo);
}

/// Nothing that others may read is half done, but for what the operator has borrowed.
#[inline]
pub fn reached() {
    TODO.with(|todo| {
        // What is done at a safepoint may reach others, which are none then.
        if let Ok(mut todo) = todo.try_borrow_mut()
            && let Some(todo) = &mut *todo
        {
            todo();
        }
    });
}
