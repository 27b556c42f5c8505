//! A query: what it may do, how much of everything it may take, and its answer row by row.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::vtab::eponymous_only_module;
use rusqlite::{Batch, Connection, Error, ErrorCode};

use super::error::SqlError;
use super::tables::ALL;
use super::view::View;
use super::vtab::Tab;

/// Instructions of SQLite's machine between two looks at whether anybody still wants an answer.
const STEPS: i32 = 100_000;

/// Memory that all queries of a process take together, in bytes; stops one that sorts or joins without end.
const MEMORY_BYTES: u64 = 1 << 30;

/// Bounds of SQLite, each with what it stops.
const LIMITS: [(Limit, i32); 11] = [
    // A value that fills the memory.
    (Limit::SQLITE_LIMIT_LENGTH, 256 << 20),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 20),
    (Limit::SQLITE_LIMIT_COLUMN, 500),
    // A parser that recurses until the stack ends.
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (Limit::SQLITE_LIMIT_VDBE_OP, 250_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 64),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    // A pattern that takes exponential time.
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 100),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// Functions that do something else than reckon.
const FORBIDDEN: [&str; 2] = ["load_extension", "fts3_tokenizer"];

/// Somewhere to put a row: the names of its columns, and its values.
pub type Each<'a> = &'a mut dyn FnMut(&[String], &[ValueRef<'_>]) -> Result<(), SqlError>;

/// A connection that can do nothing but ask one view.
pub struct Query {
    connection: Connection,
    view: Arc<View>,
    refused: Arc<Mutex<Option<String>>>,
}

impl Query {
    /// One that asks a view.
    pub fn new(view: Arc<View>) -> Result<Self, SqlError> {
        let refused = Arc::<Mutex<Option<String>>>::default();
        let connection = open(&view, &refused).map_err(|error| wrong(&error))?;
        Ok(Self { connection, view, refused })
    }

    /// Answers the statements of a text, one after the other.
    pub fn answer(&self, text: &str, each: Each<'_>) -> Result<(), SqlError> {
        let mut own = None;
        self.statements(text, each, &mut own).map_err(|error| own.unwrap_or_else(|| self.explained(&error)))
    }

    fn statements(&self, text: &str, each: Each<'_>, own: &mut Option<SqlError>) -> rusqlite::Result<()> {
        let mut batch = Batch::new(&self.connection, text);
        while let Some(mut statement) = batch.next()? {
            let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
            let mut rows = statement.query([])?;
            let mut none = true;
            while let Some(row) = rows.next()? {
                none = false;
                let values: Vec<ValueRef<'_>> =
                    (0..names.len()).map(|index| row.get_ref(index)).collect::<rusqlite::Result<_>>()?;
                if let Err(error) = each(&names, &values) {
                    *own = Some(error);
                    return Err(Error::QueryReturnedNoRows);
                }
            }
            if none && let Err(error) = each(&names, &[]) {
                *own = Some(error);
                return Err(Error::QueryReturnedNoRows);
            }
        }
        Ok(())
    }

    /// What an error of SQLite means here.
    fn explained(&self, error: &Error) -> SqlError {
        if let Some(failure) = self.view.take_failure() {
            return failure;
        }
        if let Some(what) = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return SqlError::Refused { what };
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => SqlError::Cancelled,
            Some(ErrorCode::OutOfMemory) => {
                SqlError::TooLarge { what: format!("more than {} MiB of memory", MEMORY_BYTES >> 20) }
            }
            Some(ErrorCode::TooBig) => SqlError::TooLarge { what: "a value or text that is too long".into() },
            _ => wrong(error),
        }
    }
}

fn wrong(error: &Error) -> SqlError {
    let what = match error {
        Error::SqlInputError { msg, offset, sql, .. } if *offset >= 0 => {
            let before = sql.get(..usize::try_from(*offset).unwrap_or(0)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("{msg} (line {line}, column {column})")
        }
        Error::SqlInputError { msg, .. } => msg.clone(),
        Error::SqliteFailure(_, Some(words)) => words.clone(),
        other => other.to_string(),
    };
    SqlError::Wrong { what }
}

fn open(view: &Arc<View>, refused: &Arc<Mutex<Option<String>>>) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.query_row(&format!("PRAGMA hard_heap_limit = {MEMORY_BYTES}"), [], |_| Ok(()))?;
    for (limit, most) in LIMITS {
        connection.set_limit(limit, most)?;
    }
    for table in ALL {
        connection.create_module(table.name, eponymous_only_module::<Tab>(), Some((Arc::clone(view), table)))?;
    }
    let asked = Arc::clone(view);
    connection.progress_handler(STEPS, Some(move || asked.is_cancelled()));
    let noted = Arc::clone(refused);
    connection.authorizer(Some(move |context: AuthContext<'_>| match refusal(&context.action) {
        None => Authorization::Allow,
        Some(what) => {
            noted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
            Authorization::Deny
        }
    }));
    Ok(connection)
}

/// What a statement wants to do that it may not.
fn refusal(action: &AuthAction<'_>) -> Option<String> {
    let what = match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => return None,
        AuthAction::Function { function_name } => {
            if !FORBIDDEN.contains(&function_name.to_lowercase().as_str()) {
                return None;
            }
            format!("call {function_name}")
        }
        AuthAction::Insert { table_name } => format!("write to {table_name}"),
        AuthAction::Update { table_name, .. } => format!("change {table_name}"),
        AuthAction::Delete { table_name } => format!("delete from {table_name}"),
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => "attach or detach a database".into(),
        AuthAction::Pragma { pragma_name, .. } => format!("use the pragma {pragma_name}"),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => "begin or end a transaction".into(),
        _ => "change the schema".into(),
    };
    Some(what)
}

/// The tables in SQL, each column with its meaning.
pub fn schema() -> String {
    let mut text = String::new();
    for table in ALL {
        text.push_str(&format!("-- {}\nCREATE TABLE {} (\n", table.says, table.name));
        let last = table.columns.len().saturating_sub(1);
        for (index, column) in table.columns.iter().enumerate() {
            let declared = format!("{} {}", column.name, column.kind);
            let comma = if index == last { "" } else { "," };
            text.push_str(&format!("  {:<26} -- {}\n", format!("{}{comma}", declared.trim_end()), column.says));
        }
        text.push_str(");\n");
    }
    text
}
