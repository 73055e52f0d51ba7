//! What lists share: one row more than asked tells whether another page follows.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::{Cursor, PageRequest, UnixMicros};

/// How far the time in an id and the time in its row may be apart.
pub(crate) const SLACK: Duration = Duration::from_secs(60);

/// The rows of a page out of one row more, and where the next one begins.
pub(crate) fn cut<R>(mut rows: Vec<R>, page: PageRequest, place: impl Fn(&R) -> Cursor) -> (Vec<R>, Option<Cursor>) {
    let size = page.size as usize;
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(place);
    (rows, next)
}

/// [`cut`] for lists that the id alone orders.
pub(crate) fn page_by_id<R>(rows: Vec<R>, page: PageRequest, id: impl Fn(&R) -> Uuid) -> (Vec<R>, Option<Cursor>) {
    cut(rows, page, |row| Cursor { key: 0, id: id(row) })
}

/// The smallest id that can have been made at `time`: ids begin with their milliseconds.
pub(crate) fn first_id_at(time: UnixMicros) -> Uuid {
    let millis = u128::from(u64::try_from(time.0 / 1000).unwrap_or(0)) & 0xffff_ffff_ffff;
    Uuid::from_u128(millis << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_full_and_says_whether_there_is_more() {
        let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
        let page = |size| PageRequest { size, after: None };
        assert_eq!(page_by_id(ids.clone(), page(2), |id| *id), (ids[..2].to_vec(), Some(Cursor { key: 0, id: ids[1] })));
        assert_eq!(page_by_id(ids.clone(), page(3), |id| *id), (ids, None));
        assert_eq!(page_by_id(Vec::<Uuid>::new(), page(3), |id| *id), (vec![], None));
    }

    #[test]
    fn ids_of_a_time_are_not_below_its_first_id() {
        let before = UnixMicros::now();
        let id = Uuid::now_v7();
        assert!(first_id_at(before) <= id);
        assert!(first_id_at(before.plus(std::time::Duration::from_secs(60))) > id);
    }
}
