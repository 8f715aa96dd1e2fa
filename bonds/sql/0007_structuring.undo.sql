DELETE FROM intermediary_transition WHERE entity = 'seriesdraft';
DROP TRIGGER draft_was_approved ON bonds_seriesdraft;
DROP FUNCTION draft_was_approved();
DROP TRIGGER document_is_of_the_terms ON bonds_seriesdocument;
DROP FUNCTION document_is_of_the_terms();
