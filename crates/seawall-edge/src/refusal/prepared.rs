//! Refusals that were made before: what a flood is told again and again is looked up, not written anew.
//!
//! Separate because only this file knows what a refusal depends on. Each worker keeps [`KEPT`] of them
//! at places chosen by what they depend on, all of it from closed lists and none of it the client's to
//! make up; two for one place take turns. It does **not** know the words.

use std::cell::RefCell;
use std::rc::Rc;

use seawall_decide::Form;
use seawall_model::{Cause, Language};

use crate::answer::Prepared;

/// All that a refusal depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) status: u16,
    pub(super) cause: Cause,
    pub(super) form: Form,
    /// Whether somebody merely wants to read (RFC 9110 §9.2.1).
    pub(super) is_safe: bool,
    /// When to come back, in seconds.
    pub(super) after_s: Option<u64>,
    /// Of the page that loads again by itself; `None`: it is another one.
    pub(super) language: Option<Language>,
}

impl Wanted {
    /// All of it in one word. `None`: to come back in half a year is said by no rule of ours.
    fn key(&self) -> Option<u64> {
        let after = self.after_s.map_or(0, |after| after.saturating_add(1));
        let language = self.language.map_or(0, |language| language as u64 + 1);
        let cause = self.cause as usize as u64;
        let small = u64::from(self.status) << 20
            | cause << 12
            | language << 4
            | (self.form as u64) << 1
            | u64::from(self.is_safe);
        (after < 1 << 24).then_some(after << 36 | small)
    }
}

/// One place: a key and what was made for it.
type Place = Option<(u64, Rc<Prepared>)>;

thread_local! {
    static PAGES: RefCell<[Place; KEPT]> = const { RefCell::new([const { None }; KEPT]) };
}

/// At most 4 KiB each with their fields: half a megabyte of a worker, if ever all are asked for.
const KEPT: usize = 128;

/// What is wanted, as it was made before or by `make`. No allocation if it was.
pub(super) fn page(wanted: &Wanted, make: impl Fn(&Wanted) -> Prepared) -> Rc<Prepared> {
    let Some(key) = wanted.key() else { return Rc::new(make(wanted)) };
    PAGES.with_borrow_mut(|pages| {
        // Fibonacci hashing: the upper bits depend on all of the key.
        let place = &mut pages[(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as usize];
        match place {
            Some((kept, page)) if *kept == key => Rc::clone(page),
            _ => {
                let page = Rc::new(make(wanted));
                *place = Some((key, Rc::clone(&page)));
                page
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, OnceCell};
    use std::collections::HashSet;

    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn all() -> impl Iterator<Item = Wanted> {
        let times = [None, Some(0), Some(1), Some(20), Some(3_600), Some((1 << 24) - 2)];
        let languages = || std::iter::once(None).chain(Language::ALL.into_iter().map(Some));
        [403, 429, 503, 507].into_iter().flat_map(move |status| {
            Cause::ALL.into_iter().flat_map(move |cause| {
                [Form::Page, Form::Problem, Form::Text].into_iter().flat_map(move |form| {
                    times.into_iter().flat_map(move |after_s| {
                        languages().flat_map(move |language| {
                            [true, false].map(|is_safe| Wanted {
                                status,
                                cause,
                                form,
                                is_safe,
                                after_s,
                                language,
                            })
                        })
                    })
                })
            })
        })
    }

    #[test]
    fn no_two_refusals_share_a_key() {
        let keys: HashSet<u64> = all().filter_map(|wanted| wanted.key()).collect();
        assert_eq!(keys.len(), all().count());
    }

    fn made(wanted: &Wanted) -> Prepared {
        let body = Bytes::from(format!("{wanted:?}"));
        Prepared { fields: HeaderMap::new(), body, http1: OnceCell::new() }
    }

    #[test]
    fn everybody_is_told_what_is_meant_for_him_and_it_is_made_once_for_the_next_one() {
        // Far more than there is room for, so that they drive each other out.
        for wanted in all() {
            let calls = Cell::new(0);
            let make = |wanted: &Wanted| {
                calls.set(calls.get() + 1);
                made(wanted)
            };
            let first = page(&wanted, make);
            assert_eq!(first.body, made(&wanted).body);
            assert!(Rc::ptr_eq(&first, &page(&wanted, make)), "{wanted:?}");
            assert_eq!(calls.get(), 1, "{wanted:?}");
        }
    }

    #[test]
    fn a_time_that_does_not_fit_is_told_all_the_same() {
        let first = all().next().expect("there are some");
        let wanted = Wanted { after_s: Some(u64::MAX), ..first };
        assert_eq!(page(&wanted, made).body, made(&wanted).body);
    }
}
