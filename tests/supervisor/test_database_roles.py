"""The roles have exactly the powers their names promise, and making them again changes nothing."""

import psycopg
import pytest

from intermediary.config.services import Services
from intermediary.config.supervisor import database_roles

DATABASE = "roles_test"


@pytest.fixture(scope="module")
def urls(postgres: Services) -> dict[str, str]:
    for _again in range(2):
        database_roles.create_roles(postgres.state, postgres.postgres_admin_url)
        database_roles.create_database(postgres.postgres_admin_url, DATABASE)
    return database_roles.urls(postgres.state, postgres.postgres_admin_url, DATABASE)


def test_every_login_works_under_its_own_name(urls: dict[str, str]) -> None:
    for variable, role in database_roles.LOGINS.items():
        with psycopg.connect(urls[variable]) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)


def test_no_role_of_the_platform_has_powers_over_the_server(urls: dict[str, str], postgres_admin_url: str) -> None:
    with psycopg.connect(postgres_admin_url) as connection:
        powerful = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'bulkhead%%' AND rolname <> 'bulkhead_admin' AND "
            "(rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)",
            [],
        ).fetchall()
    assert powerful == []


def test_the_web_login_has_no_right_until_it_takes_a_role(urls: dict[str, str]) -> None:
    with psycopg.connect(urls["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("CREATE TABLE secret_of_staff (id int)")
        owner.execute("GRANT SELECT ON secret_of_staff TO bulkhead_staff")
    with psycopg.connect(urls["DATABASE_URL"]) as web:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), web.transaction():
            web.execute("SELECT * FROM secret_of_staff")
        with web.transaction():
            web.execute("SET LOCAL ROLE bulkhead_staff")
            assert web.execute("SELECT count(*) FROM secret_of_staff").fetchone() == (0,)


def test_only_the_owner_may_make_tables(urls: dict[str, str]) -> None:
    for variable in sorted(set(database_roles.LOGINS) - {"DATABASE_OWNER_URL"}):
        with psycopg.connect(urls[variable]) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE public.mine (id int)")
