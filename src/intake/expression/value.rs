//! JSON as CEL values that borrow it.
//!
//! An object is turned into a map when it is looked into, one level at a time, so that `payload.issue.number` touches
//! two objects of a payload that may have thousands. Whole numbers stay whole: ids beyond 2^53 are common.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use cel::common::traits::{Container, Indexer, Iterable, Sizer, Zeroer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, MAP_TYPE, Type};
use cel::common::value::{Builtin, BuiltinRef, Val};
use serde_json::{Map, Value as Json};

use crate::domain::{Event, Header};

/// The event, as rules see it.
pub(super) fn event(event: &Event) -> Box<dyn Val + '_> {
    let actor = [("id", &event.actor.id), ("login", &event.actor.login)].map(|(name, text)| (name, string(text)));
    let kind = ("kind", string(event.actor.kind.as_str()));
    let texts = [("kind", &event.kind), ("action", &event.action), ("title", &event.title), ("url", &event.url), ("text", &event.text)]
        .map(|(name, text)| (name, string(text)));
    let key = ("thread_key", event.thread_key.as_deref().map_or_else(|| Box::new(CelNull) as Box<dyn Val + '_>, string));
    map(texts.into_iter().chain([("actor", map(actor.into_iter().chain([kind]))), key]))
}

/// Headers by name; the values of a repeated one are joined with `, `.
pub(super) fn headers(headers: &[Header]) -> Box<dyn Val + '_> {
    let mut joined: HashMap<&str, String> = HashMap::with_capacity(headers.len());
    for header in headers {
        let value = String::from_utf8_lossy(&header.value);
        joined
            .entry(&header.name)
            .and_modify(|text| {
                text.push_str(", ");
                text.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    map(joined.into_iter().map(|(name, value)| (name, Box::new(CelString::from(value)) as Box<dyn Val>)))
}

/// Any JSON value.
pub(super) fn json(json: &Json) -> Box<dyn Val + '_> {
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(truth) => Box::new(CelBool::from(*truth)),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Box::new(CelInt::from(int)),
            (None, Some(uint)) => Box::new(CelUInt::from(uint)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Json::String(text) => string(text),
        Json::Array(items) => Box::new(CelList::from(items.iter().map(self::json).collect::<Vec<_>>())),
        Json::Object(json) => Box::new(Object { json, map: OnceLock::new() }),
    }
}

fn string(text: &str) -> Box<dyn Val + '_> {
    Box::new(CelString::from(text))
}

fn map<'v>(entries: impl Iterator<Item = (&'v str, Box<dyn Val + 'v>)>) -> Box<dyn Val + 'v> {
    Box::new(CelMap::from(entries.map(|(name, value)| (CelMapKey::String(CelString::from(name)), value)).collect::<HashMap<_, _>>()))
}

/// An object that becomes a map on first use.
struct Object<'v> {
    json: &'v Map<String, Json>,
    map: OnceLock<CelMap<'v>>,
}

impl<'v> Object<'v> {
    fn map(&self) -> &CelMap<'v> {
        self.map.get_or_init(|| entries(self.json))
    }

    fn into_map(self) -> CelMap<'v> {
        let json = self.json;
        self.map.into_inner().unwrap_or_else(|| entries(json))
    }
}

fn entries(object: &Map<String, Json>) -> CelMap<'_> {
    CelMap::from(
        object.iter().map(|(name, value)| (CelMapKey::String(CelString::from(name.as_str())), json(value))).collect::<HashMap<_, _>>(),
    )
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries", self.json.len())
    }
}

impl Val for Object<'_> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self.map())
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self.map())
    }

    fn into_indexer<'w>(self: Box<Self>) -> Option<Box<dyn Indexer + 'w>>
    where
        Self: 'w,
    {
        Some(Box::new((*self).into_map()))
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self.map())
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self.map())
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        Some(self.map())
    }

    fn equals(&self, other: &dyn Val) -> bool {
        self.map().equals(other)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(Object { json: self.json, map: OnceLock::new() })
    }

    // The engine knows its own map type by these two: so our objects equal map literals on either side, and can be
    // results.
    fn as_builtin<'b, 'w>(&'b self) -> BuiltinRef<'b, 'w>
    where
        Self: 'w,
    {
        BuiltinRef::Map(self.map())
    }

    fn into_builtin<'w>(self: Box<Self>) -> Option<Builtin<'w>>
    where
        Self: 'w,
    {
        Some(Builtin::Map((*self).into_map()))
    }
}
