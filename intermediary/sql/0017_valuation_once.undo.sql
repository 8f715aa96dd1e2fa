DROP TRIGGER inserted_of_a_valuation ON intermediary_marginstate;
DROP TRIGGER updated_of_a_valuation ON intermediary_marginstate;
DROP FUNCTION valuation_exists();
