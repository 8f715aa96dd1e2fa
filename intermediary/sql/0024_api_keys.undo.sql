DROP TRIGGER api_key_is_fixed ON intermediary_apitoken;
DROP FUNCTION api_key_is_fixed();
DROP POLICY mine ON intermediary_apitoken;
DROP POLICY ours ON intermediary_apitoken;
DROP POLICY owner_functions ON intermediary_apitoken;
ALTER TABLE intermediary_apitoken DISABLE ROW LEVEL SECURITY;
