//! One half of a record: its key or its value, in its format.

use super::coerce::{self, Mismatch};
use super::column::{Cells, ColumnBuilder, push_bytes};
use super::object::{ObjectReader, read_bare};
use super::reject::Part;
use super::scan::{Kind, Malformed, Scan, Token};
use super::skim::Values;
use super::{delimited, primitive};
use std::ops::Range;
use weir_dataflow::plan::Format;
use weir_dataflow::row::{Column, SqlType};

/// Why a record is left out.
pub(super) struct Fault {
    pub(super) part: Part,
    pub(super) reason: String,
}

impl Fault {
    #[cold]
    pub(super) fn new(part: Part, reason: String) -> Self {
        Fault { part, reason }
    }
}

/// Reads the columns that a record's key, or value, holds.
pub(super) struct PartReader {
    part: Part,
    codec: Codec,
    /// Positions in the schema, in the order of the format's fields.
    columns: Vec<usize>,
    /// What is to be done for a record: only columns that are built or need a check.
    steps: Vec<Step>,
    /// The field of a JSON object that holds the record's timestamp: its number and its name.
    time_field: Option<(usize, String)>,
    /// A value without the field is rejected.
    pub(super) time_required: bool,
    /// What that field held last.
    time: Option<i64>,
}

#[allow(clippy::large_enum_variant, reason = "there is one for each part of a source")]
enum Codec {
    /// A JSON object.
    Object(Box<ObjectReader>),
    /// One JSON value.
    Bare,
    Delimited(char),
    Kafka,
    /// No bytes are looked at.
    Nothing,
}

struct Step {
    /// The field's number.
    field: usize,
    /// The column's position in the schema.
    column: usize,
    /// It is built, not only checked.
    build: bool,
}

impl PartReader {
    /// For these columns; `bare`: a JSON value without an object around it.
    pub(super) fn new(
        part: Part,
        format: Format,
        columns: Vec<usize>,
        all: &[Column],
        bare: bool,
        time_field: &Option<String>,
    ) -> Self {
        let mut names: Vec<String> = columns.iter().filter_map(|c| all.get(*c)).map(|c| c.name.clone()).collect();
        let time_field = time_field.as_ref().map(|name| {
            // A declared column of that name holds it as well.
            let number = names.iter().position(|n| n == name).unwrap_or(names.len());
            if number == names.len() {
                names.push(name.clone());
            }
            (number, name.clone())
        });
        let codec = match format {
            Format::Json if bare => Codec::Bare,
            Format::Json if names.is_empty() && part == Part::Key => Codec::Nothing,
            Format::Json => Codec::Object(Box::new(ObjectReader::new(names))),
            Format::Delimited { delimiter } => Codec::Delimited(delimiter),
            Format::Kafka => Codec::Kafka,
            Format::None => Codec::Nothing,
        };
        let codec = if columns.is_empty() && part == Part::Key { Codec::Nothing } else { codec };
        PartReader { part, codec, columns, steps: Vec::new(), time_field, time_required: true, time: None }
    }

    /// For no bytes at all.
    pub(super) fn nothing(part: Part) -> Self {
        PartReader {
            part,
            codec: Codec::Nothing,
            columns: Vec::new(),
            steps: Vec::new(),
            time_field: None,
            time_required: true,
            time: None,
        }
    }

    /// Prepares for building these columns of the schema and only checking the others.
    pub(super) fn plan(&mut self, all: &[Column], built: &[bool]) {
        self.steps = (self.columns.iter().enumerate())
            .map(|(field, &column)| Step { field, column, build: built.get(column) == Some(&true) })
            // Whatever JSON or text there is can be a STRING.
            .filter(|s| s.build || all.get(s.column).is_some_and(|c| c.ty != SqlType::String))
            .collect();
    }

    /// The column is one of this part.
    pub(super) fn holds(&self, column: usize) -> bool {
        self.columns.contains(&column)
    }

    /// The timestamp that the last record's value held, when it is to hold one.
    #[inline(always)]
    pub(super) fn time(&self) -> Option<i64> {
        self.time
    }

    /// Appends a cell to each column that is built. False when the bytes hold no value: there are none, or they are
    /// JSON's `null`.
    #[inline(always)]
    pub(super) fn read(
        &mut self,
        all: &[u8],
        range: Option<Range<usize>>,
        columns: &[Column],
        builders: &mut [Option<ColumnBuilder>],
    ) -> Result<bool, Fault> {
        let part = self.part;
        let fault = |reason| Fault::new(part, reason);
        let Some(range) = range else {
            return Ok(self.absent(builders));
        };
        match &mut self.codec {
            Codec::Object(object) => {
                let mut scan = Scan::new(all, range.start, range.end);
                match object.read(&mut scan) {
                    Ok(None) => {}
                    Ok(Some(token)) if token.kind == Kind::Null => return Ok(self.absent(builders)),
                    Ok(Some(_)) => return Err(fault("it is not a JSON object".into())),
                    Err(malformed) => return Err(fault(malformed_reason(malformed))),
                }
                if let Some((number, name)) = &self.time_field {
                    let token = object.get(*number).filter(|t| t.kind != Kind::Null);
                    self.time = token.and_then(|t| coerce::long(all, t));
                    if self.time.is_none() && (token.is_some() || self.time_required) {
                        return Err(fault(format!("its field \"{name}\" holds no timestamp")));
                    }
                }
                for step in &self.steps {
                    apply(step, all, object.get(step.field), columns, builders).map_err(fault)?;
                }
            }
            Codec::Bare => {
                let mut scan = Scan::new(all, range.start, range.end);
                let token = read_bare(&mut scan).map_err(|m| fault(malformed_reason(m)))?;
                if token.kind == Kind::Null {
                    return Ok(self.absent(builders));
                }
                for step in &self.steps {
                    apply(step, all, Some(token), columns, builders).map_err(fault)?;
                }
            }
            Codec::Delimited(delimiter) => {
                let text = String::from_utf8_lossy(all.get(range).unwrap_or_default());
                let fields = delimited::split(&text, *delimiter).map_err(fault)?;
                if fields.len() != self.columns.len() {
                    let (got, want) = (fields.len(), self.columns.len());
                    return Err(fault(format!("it has {got} fields where {want} are declared")));
                }
                for Step { field, column, .. } in &self.steps {
                    let (Some(text), Some(declared)) = (fields.get(*field), columns.get(*column)) else {
                        continue;
                    };
                    let value = delimited::value(&declared.ty, text).map_err(|m| fault(in_column(declared, m)))?;
                    if let Some(Some(builder)) = builders.get_mut(*column) {
                        builder.push(value);
                    }
                }
            }
            Codec::Kafka => {
                let bytes = all.get(range).unwrap_or_default();
                for Step { column, .. } in &self.steps {
                    let Some(declared) = columns.get(*column) else {
                        continue;
                    };
                    let builder = builders.get_mut(*column).and_then(Option::as_mut);
                    push_primitive(builder, &declared.ty, bytes).map_err(|m| fault(in_column(declared, m)))?;
                }
            }
            Codec::Nothing => return Ok(self.absent(builders)),
        }
        Ok(true)
    }

    /// Reads the values at these places of all bytes together, up to the first that is not like one before: how many, which
    /// may be none.
    pub(super) fn read_alike(&mut self, all: &[u8], values: impl Iterator<Item = Range<usize>>) -> usize {
        if let Codec::Object(object) = &mut self.codec { object.read_alike(all, values) } else { 0 }
    }

    /// Appends to each column that is built its cells of the first `count` values that were read together last, and their
    /// timestamps to `times` where they are to hold one.
    ///
    /// # Errors
    /// The first of the values, by its number, that has to be read by itself; what was appended is of no use then.
    pub(super) fn push_alike(
        &self,
        all: &[u8],
        count: usize,
        columns: &[Column],
        builders: &mut [Option<ColumnBuilder>],
        times: &mut Vec<i64>,
    ) -> Result<(), usize> {
        let Codec::Object(object) = &self.codec else {
            return Err(0);
        };
        if let Some((number, _)) = &self.time_field {
            match object.get_alike(*number, count) {
                Some(values) => {
                    for i in 0..count {
                        times.push(coerce::long(all, values.get(i)).ok_or(i)?);
                    }
                }
                None if self.time_required => return Err(0),
                None => {}
            }
        }
        for step in &self.steps {
            let values = object.get_alike(step.field, count);
            match (builders.get_mut(step.column), columns.get(step.column)) {
                (Some(Some(builder)), _) if step.build => match values {
                    Some(Values::Others(tokens)) => coerce::push_each(builder, all, tokens.iter().copied()),
                    Some(texts) => coerce::push_each(builder, all, (0..count).map(|i| texts.get(i))),
                    None => {
                        (0..count).for_each(|_| builder.push_null());
                        Ok(())
                    }
                },
                (_, Some(Column { ty, .. })) if let Some(values) = values => {
                    (0..count).try_for_each(|i| coerce::check(ty, all, Some(values.get(i))).map_err(|e| (i, e)))
                }
                _ => Ok(()),
            }
            .map_err(|(i, _)| i)?;
        }
        Ok(())
    }

    /// Of the values that were read together last, only so many can be taken as they are.
    pub(super) fn refuse_alike(&mut self, fit: usize) {
        if let Codec::Object(object) = &mut self.codec {
            object.refuse_alike(fit);
        }
    }

    /// It has no columns.
    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Nulls for all columns.
    #[cold]
    fn absent(&mut self, builders: &mut [Option<ColumnBuilder>]) -> bool {
        self.time = None;
        for column in &self.columns {
            if let Some(Some(builder)) = builders.get_mut(*column) {
                builder.push_null();
            }
        }
        false
    }
}

/// Builds or checks one column.
#[inline(always)]
fn apply(
    step: &Step,
    all: &[u8],
    token: Option<Token>,
    columns: &[Column],
    builders: &mut [Option<ColumnBuilder>],
) -> Result<(), String> {
    let result = match builders.get_mut(step.column) {
        Some(Some(builder)) if step.build => coerce::push(builder, all, token),
        _ => columns.get(step.column).map_or(Ok(()), |c| coerce::check(&c.ty, all, token)),
    };
    result.map_err(|m| columns.get(step.column).map_or_else(String::new, |c| in_column(c, m)))
}

/// Checks the bytes, and appends them where a column is built.
fn push_primitive(builder: Option<&mut ColumnBuilder>, ty: &SqlType, bytes: &[u8]) -> Result<(), Mismatch> {
    let Some(builder) = builder else {
        return primitive::value(ty, bytes).map(|_| ());
    };
    // By far the most frequent key, without a value between.
    if let Cells::Bytes(ends, all) = &mut builder.cells
        && *ty == SqlType::String
        && bytes.is_ascii()
    {
        push_bytes(ends, all, bytes);
        builder.nulls.append_non_null();
        return Ok(());
    }
    builder.push(primitive::value(ty, bytes)?);
    Ok(())
}

#[cold]
fn in_column(column: &Column, mismatch: Mismatch) -> String {
    format!("column `{}`: {mismatch}", column.name)
}

#[cold]
fn malformed_reason(Malformed { what, at }: Malformed) -> String {
    format!("it is not well-formed JSON: {what} (byte {at})")
}
