DO $$
DECLARE name text; kind text;
BEGIN
    FOREACH name IN ARRAY ARRAY['cell', 'termsversion', 'chaintarget', 'margincall', 'callincrement', 'creditline',
        'layer', 'defaultcase', 'account', 'chaininstruction', 'party'] LOOP
        FOREACH kind IN ARRAY ARRAY['inserted', 'updated', 'deleted'] LOOP
            EXECUTE format('DROP TRIGGER IF EXISTS %s_names_standing ON intermediary_%s', kind, name);
        END LOOP;
    END LOOP;
END $$;
DROP FUNCTION party_names_standing();
DROP FUNCTION instruction_names_standing();
DROP FUNCTION row_names_standing();
DROP FUNCTION change_names_standing();
DROP FUNCTION name_standings(uuid[]);
