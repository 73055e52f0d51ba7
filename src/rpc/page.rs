//! Page tokens: opaque, and good only for the list and the filters that gave them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::{Cursor, Error, MAX_PAGE_SIZE, Page, PageRequest, Result};
use crate::proto::v1;

/// Most bytes of one page: far below what clients take by default, so that a page of large rows is a shorter one.
const PAGE_BYTES: usize = 1024 * 1024;
const HASH: usize = 8;
const TOKEN: usize = 8 + 16 + HASH;

/// A request of a list.
pub trait Paged: Message + Clone + Sized {
    /// Sets it apart from the requests of other lists.
    const NAME: &'static str;
    /// How many rows are wanted.
    fn page_size(&self) -> i32;
    /// The token of the page before.
    fn page_token(&self) -> &str;
    /// The same filters without a page.
    fn filters(&self) -> Self;
}

macro_rules! paged {
    ($($request:ident),+) => {$(
        impl Paged for v1::$request {
            const NAME: &'static str = stringify!($request);
            fn page_size(&self) -> i32 { self.page_size }
            fn page_token(&self) -> &str { &self.page_token }
            fn filters(&self) -> Self { Self { page_size: 0, page_token: String::new(), ..self.clone() } }
        }
    )+};
}

paged!(ListTriggersRequest, ListDeliveriesRequest, ListRunsRequest, ListSessionsRequest, QueryUsageRequest, ListJournalEntriesRequest);

/// Reads the token of one request and makes the token of its answer.
#[derive(Debug, Clone)]
pub struct PageTokens {
    filters: Sha256,
}

impl PageTokens {
    /// What page the request wants, and the maker of the next token. Errors: `FieldInvalid`, `PageTokenInvalid`.
    pub fn read<R: Paged>(request: &R) -> Result<(PageRequest, Self)> {
        let mut filters = Sha256::new();
        filters.update(R::NAME.as_bytes());
        filters.update(request.filters().encode_to_vec());
        let tokens = Self { filters };
        let size = match u32::try_from(request.page_size()) {
            Ok(0) => PageRequest::default().size,
            Ok(size) => size.min(MAX_PAGE_SIZE),
            Err(_) => return Err(Error::field("page_size", format!("is {}; it must not be negative", request.page_size()))),
        };
        let after = match request.page_token() {
            "" => None,
            token => Some(tokens.open(token).ok_or(Error::PageTokenInvalid)?),
        };
        Ok((PageRequest { size, after }, tokens))
    }

    /// The token of the page that begins after `cursor`; empty at the end.
    #[must_use]
    pub fn next(&self, cursor: Option<Cursor>) -> String {
        let Some(cursor) = cursor else { return String::new() };
        let place = place(cursor);
        URL_SAFE_NO_PAD.encode([&place[..], &self.seal(&place)].concat())
    }

    /// As many rows of a page as one message should hold, and the token of the next page. The list is ordered by id alone,
    /// and `id` gives that of a row.
    #[must_use]
    pub fn fit<T, M: Message>(&self, page: &Page<T>, id: fn(&T) -> Uuid, row: impl Fn(&T) -> M) -> (Vec<M>, String) {
        let (mut rows, mut bytes) = (Vec::with_capacity(page.items.len()), 0);
        let mut last = None;
        for item in &page.items {
            let message = row(item);
            bytes += message.encoded_len();
            if bytes > PAGE_BYTES && !rows.is_empty() {
                return (rows, self.next(last));
            }
            rows.push(message);
            last = Some(Cursor { key: 0, id: id(item) });
        }
        (rows, self.next(page.next))
    }

    fn open(&self, token: &str) -> Option<Cursor> {
        let bytes: [u8; TOKEN] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
        let (place, seal) = bytes.split_at(TOKEN - HASH);
        if seal != self.seal(place) {
            return None;
        }
        let (key, id) = place.split_at(8);
        Some(Cursor { key: i64::from_be_bytes(key.try_into().ok()?), id: Uuid::from_slice(id).ok()? })
    }

    /// No secret is needed: a token tells nothing that its list would not, and a forged one only begins elsewhere.
    fn seal(&self, place: &[u8]) -> [u8; HASH] {
        let digest = self.filters.clone().chain_update(place).finalize();
        std::array::from_fn(|i| digest[i])
    }
}

fn place(cursor: Cursor) -> [u8; TOKEN - HASH] {
    let mut bytes = [0; TOKEN - HASH];
    bytes[..8].copy_from_slice(&cursor.key.to_be_bytes());
    bytes[8..].copy_from_slice(cursor.id.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(token: String) -> v1::ListRunsRequest {
        v1::ListRunsRequest { thread_key: "pr-7".to_owned(), states: vec![1, 2], page_token: token, ..Default::default() }
    }

    #[test]
    fn a_token_continues_its_own_list() {
        let (first, tokens) = PageTokens::read(&request(String::new())).expect("valid");
        assert_eq!(first, PageRequest { size: 50, after: None });
        let cursor = Cursor { key: -3, id: Uuid::now_v7() };
        let resized = v1::ListRunsRequest { page_size: 9000, ..request(tokens.next(Some(cursor))) };
        let (second, _) = PageTokens::read(&resized).expect("valid");
        assert_eq!(second, PageRequest { size: 500, after: Some(cursor) });
        assert_eq!(tokens.next(None), "");
    }

    #[test]
    fn a_token_of_other_filters_of_another_list_or_damaged_is_refused() {
        let (_, tokens) = PageTokens::read(&request(String::new())).expect("valid");
        let token = tokens.next(Some(Cursor { key: 1, id: Uuid::now_v7() }));
        let other = v1::ListRunsRequest { thread_key: "pr-8".to_owned(), ..request(token.clone()) };
        assert!(matches!(PageTokens::read(&other), Err(Error::PageTokenInvalid)));
        let list = v1::ListTriggersRequest { page_token: token.clone(), ..Default::default() };
        assert!(matches!(PageTokens::read(&list), Err(Error::PageTokenInvalid)));
        for damaged in [token[1..].to_owned(), format!("{token}A"), "?".to_owned(), format!("B{}", &token[1..])] {
            assert!(matches!(PageTokens::read(&request(damaged)), Err(Error::PageTokenInvalid)));
        }
    }

    #[test]
    fn a_page_of_large_rows_is_a_shorter_one_and_goes_on_after_its_last() {
        let (_, tokens) = PageTokens::read(&request(String::new())).expect("valid");
        let items: Vec<(Uuid, usize)> = [400_000, 400_000, 400_000, 2_000_000].map(|size| (Uuid::now_v7(), size)).to_vec();
        let row = |(_, size): &(Uuid, usize)| v1::Run { result_text: "x".repeat(*size), ..Default::default() };
        let page = |items: &[(Uuid, usize)], next| Page { items: items.to_vec(), next };
        let (rows, token) = tokens.fit(&page(&items, None), |item| item.0, row);
        let (next, _) = PageTokens::read(&request(token)).expect("valid");
        assert_eq!((rows.len(), next.after), (2, Some(Cursor { key: 0, id: items[1].0 })));
        // A row that is too large by itself is a page of its own.
        let (rows, token) = tokens.fit(&page(&items[3..], None), |item| item.0, row);
        assert_eq!((rows.len(), token.as_str()), (1, ""));
        let end = Cursor { key: 0, id: items[1].0 };
        assert_eq!(tokens.fit(&page(&items[..2], Some(end)), |item| item.0, row).1, tokens.next(Some(end)));
    }

    #[test]
    fn a_negative_size_is_refused() {
        let error = PageTokens::read(&v1::ListTriggersRequest { page_size: -1, ..Default::default() }).expect_err("refused");
        assert_eq!(error.fields()[0].field, "page_size");
    }
}
