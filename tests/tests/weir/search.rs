//! A test's own client of Elasticsearch and OpenSearch: an index's documents and mapping.

use crate::http;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A search server by its URL.
pub(crate) struct Search {
    url: String,
}

impl Search {
    /// The server at `http://HOST:PORT`.
    pub(crate) fn at(url: &str) -> Search {
        Search { url: url.to_owned() }
    }

    /// All documents of an index by their id; none when there is no such index.
    pub(crate) fn documents(&self, index: &str) -> Result<BTreeMap<String, Value>> {
        let refresh = http::get(&format!("{}/{index}/_refresh", self.url))?;
        if refresh.status == 404 {
            return Ok(BTreeMap::new());
        }
        refresh.ok()?;
        let mut documents = BTreeMap::new();
        let first = format!("{}/{index}/_search?scroll=1m", self.url);
        let mut answer = http::post(&first, &json!({"size": 5000, "sort": ["_doc"]}))?.ok()?;
        loop {
            let hits = answer["hits"]["hits"].as_array().context("no hits in a search's answer")?;
            if hits.is_empty() {
                let id = answer["_scroll_id"].as_str().context("no scroll id")?;
                http::delete(&format!("{}/_search/scroll/{id}", self.url))?.ok()?;
                return Ok(documents);
            }
            for hit in hits {
                let id = hit["_id"].as_str().context("a hit without an id")?;
                documents.insert(id.to_owned(), hit["_source"].clone());
            }
            let next = json!({"scroll": "1m", "scroll_id": answer["_scroll_id"]});
            answer = http::post(&format!("{}/_search/scroll", self.url), &next)?.ok()?;
        }
    }

    /// Makes an index whose field has a type of its own.
    pub(crate) fn create_index(&self, index: &str, field: &str, field_type: &str) -> Result<()> {
        let body = json!({"mappings": {"properties": {field: {"type": field_type}}}});
        http::put_json(&format!("{}/{index}", self.url), &body)?.ok().map(drop)
    }

    /// Makes the server answer 429 for every write to an index, as when its disk is full, or no more.
    pub(crate) fn refuse_writes(&self, index: &str, refuse: bool) -> Result<()> {
        let body = json!({"index.blocks.read_only_allow_delete": if refuse { json!(true) } else { Value::Null }});
        http::put_json(&format!("{}/{index}/_settings", self.url), &body)?.ok().map(drop)
    }

    /// How a field of an index is mapped: `date`, `keyword`, `long`, …
    pub(crate) fn field_type(&self, index: &str, field: &str) -> Result<String> {
        let mapping = http::get(&format!("{}/{index}/_mapping", self.url))?.ok()?;
        let ty = &mapping[index]["mappings"]["properties"][field]["type"];
        ty.as_str().map(str::to_owned).with_context(|| format!("'{field}' is not mapped: {mapping}"))
    }
}
