UPDATE deliveries SET traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f0670000000207-01' WHERE seq = 1;
