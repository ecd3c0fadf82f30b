use super::*;

#[test]
fn what_is_ours_is_taken_out_and_the_rest_is_the_drivers() {
    let door = Door::parse(
        "postgresql://me:se%20cret@db.example:7777/log?schema=orders_2&application_name=x&sslmode=disable",
    )
    .unwrap();
    assert_eq!(door.name(), "postgres://db.example:7777/log?schema=orders_2");
    assert_eq!(door.schema(), "orders_2");
    assert_eq!(door.config().get_ssl_mode(), SslMode::Disable);
    assert_eq!(door.config().get_application_name(), Some("x"));
    assert_eq!(door.config().get_password(), Some(&b"se cret"[..]));
    let door = Door::parse("postgres://me:what?schema=x@h/log?schema=y").unwrap();
    assert_eq!(door.config().get_password(), Some(&b"what?schema=x"[..]));
    assert_eq!(door.schema(), "y");
    let door = Door::parse("postgres://me@[::1]/log").unwrap();
    assert_eq!(
        (door.name(), door.schema()),
        ("postgres://[::1]:5432/log?schema=forebay", "forebay")
    );
    assert_eq!(door.config().get_ssl_mode(), SslMode::Prefer);
    assert!(door.config().get_connect_timeout().is_some());
    for mode in ["require", "verify-full"] {
        if let Ok(door) = Door::parse(&format!("postgres://me@h/log?sslmode={mode}")) {
            assert_eq!(door.config().get_ssl_mode(), SslMode::Require);
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_without_a_word_of_the_password() {
    for wrong in [
        "",
        "mysql://me:hunter2@h/db",
        "postgres://me:hunter2@h/db?x",
        "postgres://me:hunter2@h:port/db",
        "postgres://me:hunter2@h/db?hunter2=1",
        "postgres://me:hunter2@h/db?sslmode=verify",
        "postgres://me:hunter2@h/db?schema=Log",
        "postgres://me:hunter2@h/db?schema=",
        "postgres://me:hunter2@h/db?schema=a;b",
        "postgres://me:hunter2@h/db?schema=pg_x",
        "postgres://me:hunter2@/db",
        "postgres://h/db",
        "host=h password=hunter2",
    ] {
        let error = Door::parse(wrong)
            .err()
            .unwrap_or_else(|| panic!("{wrong} is taken"));
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}");
        assert!(
            !error.to_string().contains("hunter2") && !error.to_string().contains("ter2"),
            "{error}"
        );
    }
}
