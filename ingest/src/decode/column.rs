//! A column under construction, which can be cut back when a record turns out to be bad halfway.

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringArray, Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use std::ops::Range;
use std::sync::Arc;
use weir_dataflow::row::{SqlType, Value, packed};

/// The cells of one column, appended one a record.
pub(super) struct ColumnBuilder {
    pub(super) ty: SqlType,
    pub(super) nulls: NullBufferBuilder,
    pub(super) cells: Cells,
}

/// Cells by their layout in memory; a null has one too, of whatever value.
pub(super) enum Cells {
    /// BOOLEAN.
    Boolean(Vec<bool>),
    /// INTEGER, DATE, TIME.
    Int(Vec<i32>),
    /// BIGINT, TIMESTAMP.
    Long(Vec<i64>),
    /// DOUBLE.
    Double(Vec<f64>),
    /// DECIMAL, unscaled.
    Decimal(Vec<i128>),
    /// STRING, BYTES: where each cell ends, starting with 0, and all bytes.
    Bytes(Vec<i32>, Vec<u8>),
    /// ARRAY, MAP, STRUCT.
    Nested(Vec<Value>),
}

impl ColumnBuilder {
    /// Empty, with room for `capacity` cells.
    pub(super) fn new(ty: &SqlType, capacity: usize) -> Self {
        let cells = match ty {
            SqlType::Boolean => Cells::Boolean(Vec::with_capacity(capacity)),
            SqlType::Int | SqlType::Date | SqlType::Time => Cells::Int(Vec::with_capacity(capacity)),
            SqlType::Bigint | SqlType::Timestamp => Cells::Long(Vec::with_capacity(capacity)),
            SqlType::Double => Cells::Double(Vec::with_capacity(capacity)),
            SqlType::Decimal(..) => Cells::Decimal(Vec::with_capacity(capacity)),
            SqlType::String | SqlType::Bytes => {
                let mut ends = Vec::with_capacity(capacity + 1);
                ends.push(0);
                Cells::Bytes(ends, Vec::with_capacity(16 * capacity))
            }
            SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => Cells::Nested(Vec::new()),
        };
        ColumnBuilder { ty: ty.clone(), nulls: NullBufferBuilder::new(capacity), cells }
    }

    /// Appends null.
    pub(super) fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.cells {
            Cells::Boolean(v) => v.push(false),
            Cells::Int(v) => v.push(0),
            Cells::Long(v) => v.push(0),
            Cells::Double(v) => v.push(0.0),
            Cells::Decimal(v) => v.push(0),
            Cells::Bytes(ends, _) => ends.push(ends.last().copied().unwrap_or(0)),
            Cells::Nested(v) => v.push(Value::Null),
        }
    }

    /// Appends a value of the column's type, or null.
    pub(super) fn push(&mut self, value: Value) {
        match (&mut self.cells, value) {
            (Cells::Boolean(v), Value::Boolean(x)) => v.push(x),
            (Cells::Int(v), Value::Int(x) | Value::Date(x) | Value::Time(x)) => v.push(x),
            (Cells::Long(v), Value::Bigint(x) | Value::Timestamp(x)) => v.push(x),
            (Cells::Double(v), Value::Double(x)) => v.push(x),
            (Cells::Decimal(v), Value::Decimal(x)) => v.push(x.unscaled),
            (Cells::Bytes(ends, bytes), Value::String(x)) => push_bytes(ends, bytes, x.as_bytes()),
            (Cells::Bytes(ends, bytes), Value::Bytes(x)) => push_bytes(ends, bytes, &x),
            (Cells::Nested(v), x @ (Value::Array(_) | Value::Map(_) | Value::Struct(_))) => v.push(x),
            _ => return self.push_null(),
        }
        self.nulls.append_non_null();
    }

    /// Bytes of text so far, which must stay below 2 GB in an Arrow array.
    pub(super) fn text_bytes(&self) -> usize {
        if let Cells::Bytes(_, bytes) = &self.cells { bytes.len() } else { 0 }
    }

    /// A cell as a BIGINT or TIMESTAMP; `None` for null and every other type.
    pub(super) fn long(&self, at: usize) -> Option<i64> {
        let Cells::Long(cells) = &self.cells else {
            return None;
        };
        cells.get(at).copied().filter(|_| self.nulls.is_valid(at))
    }

    /// The last cell as a BIGINT or TIMESTAMP; `None` for null and every other type.
    pub(super) fn last_long(&self) -> Option<i64> {
        self.long(self.nulls.len().checked_sub(1)?)
    }

    /// The last cell as a STRING; `None` for null and every other type.
    pub(super) fn last_text(&self) -> Option<&str> {
        let at = self.nulls.len().checked_sub(1).filter(|at| self.nulls.is_valid(*at))?;
        let Cells::Bytes(ends, bytes) = &self.cells else {
            return None;
        };
        let cell = usize::try_from(*ends.get(at)?).ok()?..usize::try_from(*ends.get(at + 1)?).ok()?;
        std::str::from_utf8(bytes.get(cell)?).ok()
    }

    /// Drops all cells from `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        if self.nulls.len() > len {
            self.nulls.truncate(len);
        }
        match &mut self.cells {
            Cells::Boolean(v) => v.truncate(len),
            Cells::Int(v) => v.truncate(len),
            Cells::Long(v) => v.truncate(len),
            Cells::Double(v) => v.truncate(len),
            Cells::Decimal(v) => v.truncate(len),
            Cells::Bytes(ends, bytes) => {
                ends.truncate(len + 1);
                bytes.truncate(ends.last().and_then(|e| usize::try_from(*e).ok()).unwrap_or(0));
            }
            Cells::Nested(v) => v.truncate(len),
        }
    }

    /// The column.
    pub(super) fn finish(mut self) -> ArrayRef {
        let nulls = self.nulls.finish();
        match self.cells {
            Cells::Boolean(v) => Arc::new(BooleanArray::new(BooleanBuffer::from(v), nulls)),
            Cells::Int(v) if self.ty == SqlType::Date => Arc::new(Date32Array::new(ScalarBuffer::from(v), nulls)),
            Cells::Int(v) if self.ty == SqlType::Time => {
                Arc::new(Time32MillisecondArray::new(ScalarBuffer::from(v), nulls))
            }
            Cells::Int(v) => Arc::new(Int32Array::new(ScalarBuffer::from(v), nulls)),
            Cells::Long(v) if self.ty == SqlType::Timestamp => {
                Arc::new(TimestampMillisecondArray::new(ScalarBuffer::from(v), nulls))
            }
            Cells::Long(v) => Arc::new(Int64Array::new(ScalarBuffer::from(v), nulls)),
            Cells::Double(v) => Arc::new(Float64Array::new(ScalarBuffer::from(v), nulls)),
            Cells::Decimal(v) => {
                let array = Decimal128Array::new(ScalarBuffer::from(v), nulls);
                Arc::new(array.with_data_type(self.ty.arrow()))
            }
            Cells::Bytes(ends, bytes) => {
                let (ends, bytes) = (OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from_vec(bytes));
                if self.ty == SqlType::Bytes {
                    Arc::new(BinaryArray::new(ends, bytes, nulls))
                } else {
                    Arc::new(StringArray::new(ends, bytes, nulls))
                }
            }
            Cells::Nested(v) => packed::column(&self.ty, v.iter()),
        }
    }
}

/// Appends one cell of text or bytes.
#[inline(always)]
pub(super) fn push_bytes(ends: &mut Vec<i32>, all: &mut Vec<u8>, bytes: &[u8]) {
    all.extend_from_slice(bytes);
    end_bytes(ends, all);
}

/// Appends one cell of text that lies within more bytes. Of a short one 32 or 64 bytes are copied, which takes no call.
#[inline(always)]
pub(super) fn push_within(ends: &mut Vec<i32>, out: &mut Vec<u8>, all: &[u8], cell: Range<usize>) {
    #[inline(always)]
    fn push<const N: usize>(out: &mut Vec<u8>, all: &[u8], cell: &Range<usize>) -> bool {
        let chunk = all.get(cell.start..).and_then(<[u8]>::first_chunk::<N>).filter(|_| cell.len() <= N);
        let Some(chunk) = chunk else { return false };
        let end = out.len() + cell.len();
        out.extend_from_slice(chunk);
        out.truncate(end);
        true
    }
    if !push::<32>(out, all, &cell) && !push::<64>(out, all, &cell) {
        out.extend_from_slice(all.get(cell).unwrap_or_default());
    }
    end_bytes(ends, out);
}

/// Ends the cell whose bytes were appended to `all`. A batch whose text would pass 2 GB is cut off before that, see
/// [`ColumnBuilder::text_bytes`].
#[inline(always)]
pub(super) fn end_bytes(ends: &mut Vec<i32>, all: &[u8]) {
    ends.push(i32::try_from(all.len()).unwrap_or(i32::MAX));
}
