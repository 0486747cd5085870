-- What schema 11 adds: the first entry of the audit.
INSERT INTO audit (seq, entry, hash) VALUES (1, '{"seq":1,"at":1772366400120,"who":"bridge","subject":null,"deed":{"kind":"configuration","act":"loaded","bridge":"0.1.0","file":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","sources":{},"problem":null}}',
  x'8a3cf92ac928c08c47d7d6bf2eab852ea601cf83fb44b80b54c10fe8017cef5e');
