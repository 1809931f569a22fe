mod command;
fn main(){}
