DROP TRIGGER inserted_names_book ON intermediary_position;
DROP TRIGGER updated_names_book ON intermediary_position;
DROP TRIGGER deleted_names_book ON intermediary_position;
DROP TRIGGER quantity_names_book ON intermediary_position;
DROP FUNCTION positions_name_book();
DROP FUNCTION quantity_names_book();
