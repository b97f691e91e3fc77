use strangler::problems;

// Every mistake of an enum is reported at once.
#[problems("catalog")]
#[derive(Clone, Debug)]
pub enum CatalogError {
    #[problem(200, "Fine")]
    NoProblem,

    #[problem(404, "No such show")]
    Tuple(u32),

    WithoutAttribute,

    #[problem]
    WithNothingSaid,

    #[problem(404)]
    WithoutTitle,

    #[problem(404, " ")]
    WithAnEmptyTitle,

    #[problem(404, "No such show")]
    #[problem(404, "No such show")]
    Twice,

    #[problem(404, "No such show", detail = "no show has the id {show}, {}, nor {id")]
    WrongField { id: u32 },

    #[problem(404, "No such show", details = "no show")]
    UnknownKey,

    #[problem("No such show", 404)]
    WrongOrder,

    #[problem(409, "Taken")]
    Taken { status: u16, r#type: String, detail: String },

    #[problem(409, "One")]
    OneName,

    #[problem(409, "The same")]
    One_Name,
}

#[problems("catalog")]
pub struct NoEnum;

#[problems]
pub enum Nameless<T> {}

#[problems("Catalog")]
pub enum Capital {
    #[problem(404, "No such show")]
    NoSuchShow,
}

fn main() {}
