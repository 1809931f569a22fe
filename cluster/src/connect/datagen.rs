use super::*;
pub(super) struct Run {}
impl Run {
    pub(super) fn set_paused(&self, _paused: bool) {}
    pub(super) fn state(&self) -> State { State::Running }
    pub(super) async fn stop(self) {}
}
pub(super) fn check(_p: &Properties) -> Result<(), ConnectError> { Ok(()) }
pub(super) async fn start(_name: &str, _p: &Properties, _c: &Context) -> Result<(Run, String), ConnectError> { Ok((Run {}, String::new())) }
