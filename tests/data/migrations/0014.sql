UPDATE tokens SET last_used_at = 1772366400000, revoked_at = 1772366460000, revoked_by = 'operator:uid 0', revoke_reason = 'it was in a ticket';
