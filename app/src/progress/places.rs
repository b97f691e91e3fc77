//! How many streams there may be: in all, and for one client.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex},
};

/// Places for streams.
pub(super) struct Places {
    in_all: usize,
    per_client: usize,
    /// How many each client has; only those that have one.
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One place, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    client: IpAddr,
}

/// Why there is no place, and how many there are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// This client has all that one may have.
    Client(usize),
    /// All are taken.
    All(usize),
}

impl Places {
    pub(super) fn new(in_all: usize, per_client: usize) -> Self {
        Self {
            in_all,
            per_client,
            taken: Mutex::default(),
        }
    }

    pub(super) fn take(self: &Arc<Self>, from: IpAddr) -> Result<Place, Full> {
        let client = client(from);
        let mut taken = self.taken.lock().unwrap_or_else(|e| e.into_inner());
        if taken.get(&client).is_some_and(|its| *its >= self.per_client) {
            return Err(Full::Client(self.per_client));
        }
        if taken.values().sum::<usize>() >= self.in_all {
            return Err(Full::All(self.in_all));
        }
        *taken.entry(client).or_default() += 1;
        let places = self.clone();
        Ok(Place { places, client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(|e| e.into_inner());
        if let Entry::Occupied(mut its) = taken.entry(self.client) {
            *its.get_mut() -= 1;
            if *its.get() == 0 {
                its.remove();
            }
        }
    }
}

/// Whom an address belongs to. Of IPv6 everybody has a network of 2^64 addresses.
fn client(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_for_each_and_for_all() {
        let places = Arc::new(Places::new(5, 2));
        let take = |from: &str| places.take(from.parse().expect("an address"));
        let mut held: Vec<_> = ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "2001:db8::2:0:0:1"]
            .map(|from| take(from).expect("a place"))
            .into();
        for full in ["10.0.0.1", "2001:db8::3"] {
            assert_eq!(take(full).err(), Some(Full::Client(2)), "{full}");
        }
        held.push(take("2001:db8:0:1::1").expect("the last place"));
        assert_eq!(take("10.0.0.2").err(), Some(Full::All(5)));
        held.remove(0);
        held.push(take("10.0.0.2").expect("a place that became free"));
        held.clear();
        assert!(places.taken.lock().expect("well").is_empty());
    }
}
