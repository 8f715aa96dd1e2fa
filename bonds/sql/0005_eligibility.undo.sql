DROP TRIGGER eligibility_was_approved ON bonds_eligiblewallet;
DROP TRIGGER eligibility_is_fixed ON bonds_eligiblewallet;
DROP TRIGGER eligibility_is_fixed ON bonds_eligibilityapplication;
DROP FUNCTION eligibility_was_approved();
DROP FUNCTION eligibility_is_fixed();
DELETE FROM intermediary_transition WHERE entity IN ('eligibilityapplication', 'eligiblewallet');
