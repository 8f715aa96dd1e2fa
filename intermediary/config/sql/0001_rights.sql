-- Rights of the five logins and the two roles that a web request takes (bulkhead_portal, bulkhead_staff).
-- The owner alone changes the schema. Nobody deletes or truncates, but for sessions. Balances of accounts are moved by
-- the posting trigger only: no role but the owner may update an account.

GRANT USAGE ON SCHEMA public TO bulkhead_portal, bulkhead_staff, bulkhead_worker, bulkhead_poster, bulkhead_approver, bulkhead_web;

-- Tables that later migrations add: workers work, officers and the chain's processes read.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE ON TABLES TO bulkhead_worker;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO bulkhead_staff;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO bulkhead_worker, bulkhead_staff, bulkhead_portal, bulkhead_poster, bulkhead_approver;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO bulkhead_worker, bulkhead_staff, bulkhead_poster, bulkhead_approver;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO bulkhead_worker, bulkhead_staff, bulkhead_portal, bulkhead_poster, bulkhead_approver;
GRANT SELECT ON platform_clock TO bulkhead_portal;
GRANT EXECUTE ON FUNCTION platform_clock_set(timestamptz, numeric, timestamptz) TO bulkhead_worker;

-- Workers write everything that may be written; append-only tables and balances are not updated by anyone.
GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO bulkhead_worker;
REVOKE INSERT, UPDATE ON platform_clock, django_migrations, intermediary_transition FROM bulkhead_worker;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['account', 'journalentry', 'posting', 'auditrecord', 'termsversion', 'callevent',
        'defaultevent', 'layerloss', 'recoveryreceipt', 'closeoutslice', 'valuation', 'mark', 'event', 'uncoveredshare'] LOOP
        EXECUTE format('REVOKE UPDATE ON intermediary_%s FROM bulkhead_worker', name);
    END LOOP;
END $$;

-- The chain's processes: they move instructions along; settlement's own tables are granted by its migrations.
GRANT UPDATE (state, failure, transaction_hash, final_at) ON intermediary_chaininstruction TO bulkhead_poster, bulkhead_approver;

-- Sign-in, sessions and the admin's own log.
GRANT SELECT ON auth_user, auth_group, auth_permission, auth_user_groups, auth_user_user_permissions, auth_group_permissions,
    django_content_type TO bulkhead_portal;
GRANT UPDATE (last_login) ON auth_user TO bulkhead_portal, bulkhead_staff;
GRANT SELECT, INSERT, UPDATE, DELETE ON django_session TO bulkhead_portal, bulkhead_staff;
GRANT INSERT ON django_admin_log TO bulkhead_staff;

-- Row-level security: what carries a cell is seen by the cell's own party.
CREATE FUNCTION tenant_parties() RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
    SELECT unnest(string_to_array(nullif(current_setting('bulkhead.parties', true), ''), ',')::uuid[])
$$;
CREATE FUNCTION tenant_cells() RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
    SELECT id FROM intermediary_cell WHERE party_id IN (SELECT tenant_parties())
$$;
CREATE FUNCTION protect(target text, mine text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY ours ON %I TO bulkhead_worker, bulkhead_staff, bulkhead_poster, bulkhead_approver
        USING (true) WITH CHECK (true)', target);
    EXECUTE format('CREATE POLICY owner_functions ON %I TO %I USING (true) WITH CHECK (true)', target, current_user);
    EXECUTE format('CREATE POLICY mine ON %I TO bulkhead_portal USING (%s) WITH CHECK (%2$s)', target, mine);
    EXECUTE format('GRANT SELECT ON %I TO bulkhead_portal', target);
END $$;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['layer', 'termsversion', 'account', 'journalentry', 'posting', 'chaintarget',
        'chaininstruction', 'lot', 'position', 'marginstate', 'margincall', 'callincrement', 'callevent', 'withdrawal',
        'creditline', 'defaultcase', 'defaultevent', 'closeoutslice', 'layerloss', 'recoveryreceipt', 'uncoveredshare'] LOOP
        PERFORM protect('intermediary_' || name, 'cell_id IN (SELECT tenant_cells())');
    END LOOP;
    PERFORM protect('intermediary_commandrequest', 'user_id = nullif(current_setting(''bulkhead.user'', true), '''')::int');
    PERFORM protect('intermediary_cell', 'party_id IN (SELECT tenant_parties())');
    PERFORM protect('intermediary_party', 'id IN (SELECT tenant_parties())');
    PERFORM protect('intermediary_wallet', 'party_id IN (SELECT tenant_parties())');
    PERFORM protect('intermediary_trade', 'buyer_id IN (SELECT tenant_cells()) OR seller_id IN (SELECT tenant_cells())');
END $$;
-- A request and a withdrawal are the client's own to make; an officer makes proposals and requests.
GRANT INSERT ON intermediary_commandrequest TO bulkhead_portal, bulkhead_staff;
GRANT INSERT ON intermediary_proposal TO bulkhead_staff;
GRANT UPDATE (state, checker_id, approved_hash, decided_at, decision_reason) ON intermediary_proposal TO bulkhead_staff;
GRANT INSERT ON intermediary_auditrecord TO bulkhead_portal, bulkhead_staff, bulkhead_poster, bulkhead_approver;
-- What is the same for everyone.
GRANT SELECT ON intermediary_membership, intermediary_instrument, intermediary_asset, intermediary_valuation,
    intermediary_mark, intermediary_clockstop TO bulkhead_portal;

-- The public register: layers and coverage of every relationship under its anonymous code, nothing else.
CREATE VIEW public_register AS
    SELECT c.id AS cell_id, c.code, c.state, l.kind, l.attach_base_units, l.detach_base_units, l.loss_base_units, l.funded
    FROM intermediary_cell c JOIN intermediary_layer l ON l.cell_id = c.id WHERE c.kind = 'CLIENT';
GRANT SELECT ON public_register TO bulkhead_portal, bulkhead_staff, bulkhead_worker;
