output "principal_id" {
  description = "Object id of the identity, for assign-roles.sh."
  value       = azurerm_user_assigned_identity.bridge.principal_id
}

output "client_id" {
  description = "Client id of the identity, as [defender] client_id has it."
  value       = azurerm_user_assigned_identity.bridge.client_id
}

output "address" {
  description = "Address of the service."
  value       = var.public_ip ? azurerm_public_ip.bridge[0].ip_address : azurerm_network_interface.bridge.private_ip_address
}
