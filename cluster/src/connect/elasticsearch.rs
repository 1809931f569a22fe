use super::*;
pub(super) struct Run {}
impl Run {
    pub(super) fn set_paused(&self, _paused: bool) {}
    pub(super) fn state(&self) -> State { State::Running }
    pub(super) async fn stop(self, _drain: Duration) {}
}
pub(super) fn check(_n: &str, _p: &Properties) -> Result<(), ConnectError> { Ok(()) }
pub(super) fn start(_name: &str, _p: &Properties, _c: &Context) -> Result<(Run, Vec<String>), ConnectError> { Ok((Run {}, Vec::new())) }
