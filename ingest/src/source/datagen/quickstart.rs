//! The data sets: which fields, and what each is drawn from.

/// A data set of the clickstream demo, by its name in `quickstart`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quickstart {
    /// `clickstream`: what users requested.
    Clickstream,
    /// `clickstream_codes`: what the status codes mean.
    Codes,
    /// `clickstream_users`: who the users are.
    Users,
}

impl Quickstart {
    /// All, in the order of the demo's script.
    pub const ALL: [Quickstart; 3] = [Quickstart::Codes, Quickstart::Users, Quickstart::Clickstream];

    /// The name in `quickstart`, which is the demo's topic too.
    pub fn name(self) -> &'static str {
        match self {
            Quickstart::Clickstream => "clickstream",
            Quickstart::Codes => "clickstream_codes",
            Quickstart::Users => "clickstream_users",
        }
    }

    /// The data set of this name, in whatever case.
    pub fn find(name: &str) -> Option<Quickstart> {
        Quickstart::ALL.into_iter().find(|q| q.name().eq_ignore_ascii_case(name))
    }

    /// Its fields, in their order.
    pub(super) fn fields(self) -> &'static [Field] {
        match self {
            Quickstart::Clickstream => CLICKSTREAM,
            Quickstart::Codes => CODES,
            Quickstart::Users => USERS,
        }
    }

    /// The field that is the record's key, and whether that is a number.
    pub(super) fn key(self) -> (&'static str, bool) {
        match self {
            Quickstart::Clickstream => ("ip", false),
            Quickstart::Codes => ("code", true),
            Quickstart::Users => ("user_id", true),
        }
    }
}

/// A field's name and where its value comes from.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) draw: Draw,
}

/// Where a value comes from. Draws of different fields are independent, but for [`Draw::Same`].
pub(super) enum Draw {
    /// One of these texts.
    Text(&'static [&'static str]),
    /// One of these numbers.
    Number(&'static [i64]),
    /// The text at the place that the field before it was drawn from.
    Same(&'static [&'static str]),
    /// A whole number from the first to below the second.
    Range(i64, i64),
    /// The record's number times the second, plus the first; true: as text.
    Count(i64, i64, bool),
}

const fn field(name: &'static str, draw: Draw) -> Field {
    Field { name, draw }
}

const CLICKSTREAM: &[Field] = &[
    // Four addresses stand twice: they come up twice as often.
    field(
        "ip",
        Draw::Text(&[
            "111.152.45.45",
            "111.203.236.146",
            "111.168.57.122",
            "111.249.79.93",
            "111.168.57.122",
            "111.90.225.227",
            "111.173.165.103",
            "111.145.8.144",
            "111.245.174.248",
            "111.245.174.111",
            "222.152.45.45",
            "222.203.236.146",
            "222.168.57.122",
            "222.249.79.93",
            "222.168.57.122",
            "222.90.225.227",
            "222.173.165.103",
            "222.145.8.144",
            "222.245.174.248",
            "222.245.174.222",
            "122.152.45.245",
            "122.203.236.246",
            "122.168.57.222",
            "122.249.79.233",
            "122.168.57.222",
            "122.90.225.227",
            "122.173.165.203",
            "122.145.8.244",
            "122.245.174.248",
            "122.245.174.122",
            "233.152.245.45",
            "233.203.236.146",
            "233.168.257.122",
            "233.249.279.93",
            "233.168.257.122",
            "233.90.225.227",
            "233.173.215.103",
            "233.145.28.144",
            "233.245.174.248",
            "233.245.174.233",
        ]),
    ),
    field("userid", Draw::Range(-1, 40)),
    field("remote_user", Draw::Text(&["-"])),
    field("time", Draw::Count(1, 10, true)),
    field("_time", Draw::Count(1, 10, false)),
    field(
        "request",
        Draw::Text(&[
            "GET /index.html HTTP/1.1",
            "GET /site/user_status.html HTTP/1.1",
            "GET /site/login.html HTTP/1.1",
            "GET /site/user_status.html HTTP/1.1",
            "GET /images/track.png HTTP/1.1",
            "GET /images/logo-small.png HTTP/1.1",
        ]),
    ),
    field("status", Draw::Text(&["200", "302", "404", "405", "406", "407"])),
    field("bytes", Draw::Text(&["278", "1289", "2048", "4096", "4006", "4196", "14096"])),
    field("referrer", Draw::Text(&["-"])),
    field(
        "agent",
        Draw::Text(&[
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/59.0.3071.115 Safari/537.36",
        ]),
    ),
];

const CODES: &[Field] = &[
    field("code", Draw::Number(&[200, 302, 404, 405, 406, 407])),
    field(
        "definition",
        Draw::Same(&[
            "Successful",
            "Redirect",
            "Page not found",
            "Method not allowed",
            "Not acceptable",
            "Proxy authentication required",
        ]),
    ),
];

const USERS: &[Field] = &[
    field("user_id", Draw::Count(1, 1, false)),
    field(
        "username",
        Draw::Text(&[
            "akatz1022",
            "bobk_43",
            "alison_99",
            "k_robertz_88",
            "Ferd88",
            "Reeva43",
            "Antonio_0966",
            "ArlyneW8ter",
            "DimitriSchenz88",
            "Oriana_70",
            "AbdelKable_86",
            "Roberto_123",
            "AlanGreta_GG66",
            "Nathan_126",
            "AndySims_345324",
            "GlenAlan_23344",
            "LukeWaters_23",
            "BenSteins_235",
        ]),
    ),
    field("registered_at", Draw::Range(1_407_645_330_000, 1_502_339_792_000)),
    field(
        "first_name",
        Draw::Text(&[
            "Elwyn", "Curran", "Hanson", "Woodrow", "Ferd", "Reeva", "Antonio", "Arlyne", "Dimitri", "Oriana", "Abdel",
            "Greta",
        ]),
    ),
    field(
        "last_name",
        Draw::Text(&[
            "Vanyard", "Vears", "Garrity", "Trice", "Tomini", "Jushcke", "De Banke", "Pask", "Rockhill", "Romagosa",
            "Adicot", "Lalonde",
        ]),
    ),
    field("city", Draw::Text(&["Palo Alto", "San Francisco", "Raleigh", "London", "Frankfurt", "New York"])),
    field("level", Draw::Text(&["Gold", "Silver", "Platinum"])),
];
