-- What the first rights gave too much of.

-- People are entered by the owner alone: a worker acts in the names of officers, so it must not be able to make one.
REVOKE INSERT, UPDATE ON auth_user, auth_group, auth_permission, auth_user_groups, auth_user_user_permissions,
    auth_group_permissions, django_content_type, django_admin_log, intermediary_membership FROM bulkhead_worker;
REVOKE UPDATE ON intermediary_wallet FROM bulkhead_worker;  -- a proof stays what was proved
-- Sessions are the web's; people are no business of the chain's processes, and the approver writes signatures only.
REVOKE ALL ON django_session FROM bulkhead_worker, bulkhead_poster, bulkhead_approver;
REVOKE SELECT ON auth_user, auth_group, auth_permission, auth_user_groups, auth_user_user_permissions,
    auth_group_permissions, django_admin_log, intermediary_membership FROM bulkhead_poster, bulkhead_approver;
REVOKE UPDATE (state, failure, transaction_hash, final_at) ON intermediary_chaininstruction FROM bulkhead_approver;
REVOKE SELECT ON auth_group, auth_permission, auth_user_groups, auth_user_user_permissions, auth_group_permissions
    FROM bulkhead_portal;

-- A client's request sees its own person, its own party's people, and the one session whose key it brought.
SELECT protect('auth_user', 'id = nullif(current_setting(''bulkhead.user'', true), '''')::int'
    ' OR username = current_setting(''bulkhead.signing_in'', true)'
    ' OR current_setting(''bulkhead.demo_people'', true) = ''on''');
SELECT protect('intermediary_membership', 'party_id IN (SELECT tenant_parties())'
    ' OR user_id = nullif(current_setting(''bulkhead.user'', true), '''')::int');
SELECT protect('django_session', 'session_key = current_setting(''bulkhead.session'', true)');
-- So does an officer's: whoever reads a session's key is that person.
DROP POLICY ours ON django_session;
ALTER POLICY mine ON django_session TO bulkhead_portal, bulkhead_staff;
