use super::*;
use weir_dataflow::bind::InsertValues;
use weir_dataflow::plan::View;
pub(super) struct Inserting {}
impl Inserting { pub(super) fn stop(self) {} }
impl Intake {
    pub(super) async fn insert_values(&self, _i: &InsertValues) -> Result<(), String> { Ok(()) }
    pub(super) async fn begin_insert(&self, _n: &mut u64, _v: &View, _s: &Session) -> Result<entity::Body, String> { Err("".into()) }
    pub(crate) fn insert_target(&self, _name: &str) -> Result<String, Failure> { Ok(String::new()) }
    pub(crate) async fn insert_row(&self, _target: &str, _row: serde_json::Map<String, serde_json::Value>) -> Result<(), Failure> { Ok(()) }
}
