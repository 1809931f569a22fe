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
        let refresh = http::post(&format!("{}/{index}/_refresh", self.url), &json!({}))?;
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

    /// How a field of an index is mapped: `date`, `keyword`, `long`, …
    pub(crate) fn field_type(&self, index: &str, field: &str) -> Result<String> {
        let mapping = http::get(&format!("{}/{index}/_mapping", self.url))?.ok()?;
        let ty = &mapping[index]["mappings"]["properties"][field]["type"];
        ty.as_str().map(str::to_owned).with_context(|| format!("'{field}' is not mapped: {mapping}"))
    }
}
