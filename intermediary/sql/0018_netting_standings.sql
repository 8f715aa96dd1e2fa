-- Of a party, whether anybody stands behind its debts, and whether an opinion says that what it gains may be set off.
DROP TRIGGER updated_names_standing ON intermediary_party;
CREATE TRIGGER updated_names_standing AFTER UPDATE ON intermediary_party FOR EACH ROW
    WHEN (OLD.recourse <> NEW.recourse OR OLD.netting_opinion <> NEW.netting_opinion)
    EXECUTE FUNCTION party_names_standing();
