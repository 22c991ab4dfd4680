//! `sched`: the scheduling policy (sched(7)).

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::Value;
use serde_saphyr::Tagged;

use crate::{
    error::Problem,
    validate::{At, Checked},
};

/// Shortest runtime in nanoseconds that the kernel takes: `1 << DL_SCALE` (kernel/sched/deadline.c).
const MIN_RUNTIME: u64 = 1024;

/// The words of the policies.
const WORDS: &[&str] = &["other", "fifo", "round_robin", "batch", "idle", "deadline"];

/// Scheduling of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sched {
    /// The policy with its parameters.
    pub policy: Policy,
}

/// A scheduling policy (sched(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `SCHED_OTHER`
    Other {
        /// -20 (most CPU time) to 19.
        nice: i8,
    },
    /// `SCHED_FIFO`
    Fifo {
        /// 1 to 99 (highest).
        priority: u32,
    },
    /// `SCHED_RR`
    RoundRobin {
        /// 1 to 99 (highest).
        priority: u32,
    },
    /// `SCHED_BATCH`
    Batch {
        /// -20 (most CPU time) to 19.
        nice: i8,
    },
    /// `SCHED_IDLE`
    Idle,
    /// `SCHED_DEADLINE`. Without parameters, as 0.9.2 writes it, it loads but cannot be started.
    Deadline(Option<Deadline>),
}

/// Parameters of [`Policy::Deadline`] in nanoseconds (sched_setattr(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deadline {
    /// CPU time in each period.
    #[cfg_attr(
        feature = "schema",
        schemars(range(min = 1_024, max = 9_223_372_036_854_775_807_u64))
    )]
    pub runtime: u64,
    /// Until when after the start of the period the CPU time is given.
    #[cfg_attr(
        feature = "schema",
        schemars(range(min = 1_024, max = 9_223_372_036_854_775_807_u64))
    )]
    pub deadline: u64,
    /// Length of the period.
    #[cfg_attr(
        feature = "schema",
        schemars(range(min = 1_024, max = 9_223_372_036_854_775_807_u64))
    )]
    pub period: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nice {
    #[serde(deserialize_with = "nice")]
    nice: i8,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Priority {
    #[serde(deserialize_with = "priority")]
    priority: u32,
}

// What does not fit the type is told like what is out of range.
fn nice<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i8, D::Error> {
    let value = i64::deserialize(deserializer)?;
    let error = |_| D::Error::custom(format_args!("`nice` is {value}: -20 to 19 is allowed"));
    value.try_into().map_err(error)
}

fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = i64::deserialize(deserializer)?;
    let error = |_| D::Error::custom(format_args!("`priority` is {value}: 1 to 99 is allowed"));
    value.try_into().map_err(error)
}

impl Policy {
    /// The word of the policy.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Policy::Other { .. } => "other",
            Policy::Fifo { .. } => "fifo",
            Policy::RoundRobin { .. } => "round_robin",
            Policy::Batch { .. } => "batch",
            Policy::Idle => "idle",
            Policy::Deadline(_) => "deadline",
        }
    }

    fn from_parts<E: serde::de::Error>(word: &str, parameters: Parameters) -> Result<Self, E> {
        match (word, parameters) {
            ("idle", Parameters::None) => Ok(Policy::Idle),
            ("deadline", Parameters::None) => Ok(Policy::Deadline(None)),
            ("other", p) => p.read(word).map(|Nice { nice }| Policy::Other { nice }),
            ("batch", p) => p.read(word).map(|Nice { nice }| Policy::Batch { nice }),
            ("fifo", p) => p
                .read(word)
                .map(|Priority { priority }| Policy::Fifo { priority }),
            ("round_robin", p) => p
                .read(word)
                .map(|Priority { priority }| Policy::RoundRobin { priority }),
            ("deadline", p) => p
                .read(word)
                .map(|deadline| Policy::Deadline(Some(deadline))),
            ("idle", Parameters::Map(_)) => Err(E::custom("the policy `idle` has no parameters")),
            _ => Err(E::unknown_variant(word, WORDS)),
        }
    }

    pub(crate) fn validate(&self, at: &At) -> Checked {
        match self {
            Policy::Other { nice } | Policy::Batch { nice } => at.key("nice").range(*nice, -20, 19),
            Policy::Fifo { priority } | Policy::RoundRobin { priority } => {
                at.key("priority").range(*priority, 1, 99)
            }
            Policy::Idle | Policy::Deadline(None) => Ok(()),
            Policy::Deadline(Some(Deadline {
                runtime,
                deadline,
                period,
            })) => {
                // The kernel's own arithmetic is signed.
                at.key("runtime")
                    .range(*runtime, MIN_RUNTIME.into(), i64::MAX.into())?;
                at.key("period")
                    .range(*period, MIN_RUNTIME.into(), i64::MAX.into())?;
                let ordered = runtime <= deadline && deadline <= period;
                at.ensure(ordered, || Problem::DeadlineOrder)
            }
        }
    }
}

/// What follows the word of a policy.
enum Parameters {
    None,
    Map(BTreeMap<String, Value>),
}

impl Parameters {
    fn read<T: DeserializeOwned, E: serde::de::Error>(self, word: &str) -> Result<T, E> {
        let map = match self {
            Parameters::None => BTreeMap::new(),
            Parameters::Map(map) => map,
        };
        let value = Value::Object(map.into_iter().collect());
        serde_json::from_value(value)
            .map_err(|error| E::custom(format_args!("the policy `{word}`: {error}")))
    }
}

/// The node of a policy without its tag: a word, nothing (`!idle`) or a mapping.
enum Body {
    Word(String),
    Parameters(Parameters),
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyBody;

        impl<'de> Visitor<'de> for AnyBody {
            type Value = Body;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a scheduling policy: one of {}", WORDS.join(", "))
            }

            fn visit_str<E>(self, word: &str) -> Result<Body, E> {
                if word.is_empty() {
                    return Ok(Body::Parameters(Parameters::None));
                }
                Ok(Body::Word(word.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<Body, E> {
                Ok(Body::Parameters(Parameters::None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
                let mut parameters = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    parameters.insert(key, value);
                }
                Ok(Body::Parameters(Parameters::Map(parameters)))
            }
        }

        deserializer.deserialize_any(AnyBody)
    }
}

// By hand, because `deadline` comes with and without parameters under one name.
impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Tagged(body, tag) = Tagged::<Body>::deserialize(deserializer)?;
        let tag = tag.as_deref().map(|tag| tag.trim_start_matches('!'));
        match (tag, body) {
            (Some(word), Body::Parameters(parameters)) => Policy::from_parts(word, parameters),
            (None, Body::Word(word)) => Policy::from_parts(&word, Parameters::None),
            // The JSON of `inspect`: {"other": {"nice": 0}}.
            (None, Body::Parameters(Parameters::Map(map))) if map.len() == 1 => {
                match map.into_iter().next() {
                    Some((word, Value::Object(parameters))) => {
                        let parameters = parameters.into_iter().collect();
                        Policy::from_parts(&word, Parameters::Map(parameters))
                    }
                    _ => Err(D::Error::custom("the parameters of a policy are a mapping")),
                }
            }
            _ => Err(D::Error::custom(format_args!(
                "a scheduling policy is one of {}",
                WORDS.join(", ")
            ))),
        }
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Policy::Idle | Policy::Deadline(None) = self {
            return serializer.serialize_str(self.word());
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.word(), &PolicyParameters(self))?;
        map.end()
    }
}

/// The mapping behind the word of a policy, as JSON and YAML both have it.
pub(crate) struct PolicyParameters<'a>(pub(crate) &'a Policy);

impl Serialize for PolicyParameters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Policy::Other { nice } | Policy::Batch { nice } => {
                Nice { nice: *nice }.serialize(serializer)
            }
            Policy::Fifo { priority } | Policy::RoundRobin { priority } => Priority {
                priority: *priority,
            }
            .serialize(serializer),
            Policy::Deadline(Some(deadline)) => deadline.serialize(serializer),
            Policy::Idle | Policy::Deadline(None) => serializer.serialize_unit(),
        }
    }
}
