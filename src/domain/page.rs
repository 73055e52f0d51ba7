//! Keyset pages: a list continues after the last row it gave, however many rows came since.

use uuid::Uuid;

/// The most rows that one page holds; a larger wish is capped.
pub const MAX_PAGE_SIZE: u32 = 500;

/// Where a page ended: the ordering value of its last row, and that row's id to break ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The value that the list is ordered by; 0 where the id alone orders it.
    pub key: i64,
    /// The last row's id.
    pub id: Uuid,
}

/// What a caller wants of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// How many rows, 1 to [`MAX_PAGE_SIZE`].
    pub size: u32,
    /// Where the page before ended; none for the first page.
    pub after: Option<Cursor>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { size: 50, after: None }
    }
}

/// One page of a list, and where it ended if there is more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub items: Vec<T>,
    /// Set when another page follows.
    pub next: Option<Cursor>,
}
