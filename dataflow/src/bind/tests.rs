use super::*;
use crate::sql::parse;

/// Binds all statements of a text one after the other; the first error, with the statement's number.
fn bind_all(catalog: &mut Catalog, session: &Session, text: &str) -> Result<Vec<Bound>, Diagnostic> {
    let (statements, errors) = parse(text);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    let mut all = Vec::new();
    for statement in &statements {
        let bound = bind(catalog, session, statement)?;
        catalog.add(&bound, &statement.text);
        all.push(bound);
    }
    Ok(all)
}
mod cases;
