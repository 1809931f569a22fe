//! Who may run beside whom: most tests run together, those that measure time or fill the machine run alone.

use libtest_mimic::{Failed, Trial};
use std::sync::{PoisonError, RwLock};

static MACHINE: RwLock<()> = RwLock::new(());

/// A test that runs beside others.
pub(crate) fn shared(name: impl Into<String>, test: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let _turn = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        report(test())
    })
}

/// A test that runs while no other does.
pub(crate) fn alone(name: impl Into<String>, test: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let _turn = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        report(test())
    })
}

/// True on the machine that decides what lands: nothing may be left out there.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|v| !v.is_empty() && v != "false" && v != "0")
}

fn report(outcome: anyhow::Result<()>) -> Result<(), Failed> {
    outcome.map_err(|error| Failed::from(format!("{error:#}")))
}
