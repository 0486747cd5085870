# One machine of Azure with the bridge on it, its database on a disk of its own. main.bicep does the same with Bicep; README.md tells how.

terraform {
  required_version = ">= 1.5"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.0"
    }
  }
}

locals {
  government = contains(["gcc-high", "dod"], var.cloud)
  vault_dns  = local.government ? "vault.usgovcloudapi.net" : "vault.azure.net"

  configuration = replace(replace(var.configuration, "@CLIENT_ID@", azurerm_user_assigned_identity.bridge.client_id), "@CLOUD@", var.cloud)
  # One line each, so that it is seen that main.bicep fills in the same.
  data1       = replace(file("${path.module}/../cloud-init.yaml"), "@@CONFIGURATION@@", base64encode(local.configuration))
  data2       = replace(local.data1, "@@PACKAGE_URL@@", var.package_url)
  data3       = replace(local.data2, "@@PACKAGE_SHA256@@", var.package_sha256)
  data4       = replace(local.data3, "@@CLIENT_ID@@", azurerm_user_assigned_identity.bridge.client_id)
  data5       = replace(local.data4, "@@VAULT@@", var.key_vault)
  data6       = replace(local.data5, "@@VAULT_DNS@@", local.vault_dns)
  custom_data = replace(local.data6, "@@SECRETS@@", join(" ", var.secrets))
}

provider "azurerm" {
  features {}
  environment = local.government ? "usgovernment" : "public"
}

# It outlives the machine, and so do the roles that are given to it.
resource "azurerm_user_assigned_identity" "bridge" {
  name                = var.name
  location            = var.location
  resource_group_name = var.resource_group
}

resource "azurerm_managed_disk" "state" {
  name                          = "${var.name}-state"
  location                      = var.location
  resource_group_name           = var.resource_group
  storage_account_type          = "Premium_LRS"
  create_option                 = "Empty"
  disk_size_gb                  = var.disk_gb
  network_access_policy         = "DenyAll"
  public_network_access_enabled = false

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_management_lock" "state" {
  count      = var.lock_disk ? 1 : 0
  name       = "${var.name}-state"
  scope      = azurerm_managed_disk.state.id
  lock_level = "CanNotDelete"
  notes      = "The database of quarantine-bridge, with the audit in it."
}

resource "azurerm_network_security_group" "bridge" {
  name                = var.name
  location            = var.location
  resource_group_name = var.resource_group

  security_rule {
    name                       = "service"
    priority                   = 100
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_address_prefixes    = var.allowed_addresses
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = tostring(var.port)
  }

  dynamic "security_rule" {
    for_each = length(var.ssh_addresses) > 0 ? [1] : []
    content {
      name                       = "ssh"
      priority                   = 110
      direction                  = "Inbound"
      access                     = "Allow"
      protocol                   = "Tcp"
      source_address_prefixes    = var.ssh_addresses
      source_port_range          = "*"
      destination_address_prefix = "*"
      destination_port_range     = "22"
    }
  }

  # Azure itself would let in the whole virtual network.
  security_rule {
    name                       = "nothing-else"
    priority                   = 4096
    direction                  = "Inbound"
    access                     = "Deny"
    protocol                   = "*"
    source_address_prefix      = "*"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "*"
  }
}

resource "azurerm_public_ip" "bridge" {
  count               = var.public_ip ? 1 : 0
  name                = var.name
  location            = var.location
  resource_group_name = var.resource_group
  sku                 = "Standard"
  allocation_method   = "Static"
}

resource "azurerm_network_interface" "bridge" {
  name                = var.name
  location            = var.location
  resource_group_name = var.resource_group

  ip_configuration {
    name                          = "main"
    subnet_id                     = var.subnet_id
    private_ip_address_allocation = "Dynamic"
    public_ip_address_id          = var.public_ip ? azurerm_public_ip.bridge[0].id : null
  }
}

resource "azurerm_network_interface_security_group_association" "bridge" {
  network_interface_id      = azurerm_network_interface.bridge.id
  network_security_group_id = azurerm_network_security_group.bridge.id
}

resource "azurerm_linux_virtual_machine" "bridge" {
  name                            = var.name
  location                        = var.location
  resource_group_name             = var.resource_group
  size                            = var.size
  network_interface_ids           = [azurerm_network_interface.bridge.id]
  admin_username                  = "azureuser"
  disable_password_authentication = true
  secure_boot_enabled             = true
  vtpm_enabled                    = true
  encryption_at_host_enabled      = var.encryption_at_host
  custom_data                     = base64encode(local.custom_data)
  # It is never up without the rules.
  depends_on = [azurerm_network_interface_security_group_association.bridge]

  admin_ssh_key {
    username   = "azureuser"
    public_key = var.ssh_public_key
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.bridge.id]
  }

  source_image_reference {
    publisher = "Debian"
    offer     = "debian-12"
    sku       = "12-gen2"
    version   = "latest"
  }

  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "Premium_LRS"
  }

  # Left empty, it is storage of Azure's own.
  boot_diagnostics {}

  lifecycle {
    precondition {
      condition     = length(base64encode(local.custom_data)) <= 87380
      error_message = "The custom data is longer than the 65,535 bytes that Azure takes: make the configuration shorter."
    }
  }
}

# The machine may have started before the disk is there; its set-up waits for it.
resource "azurerm_virtual_machine_data_disk_attachment" "state" {
  virtual_machine_id = azurerm_linux_virtual_machine.bridge.id
  managed_disk_id    = azurerm_managed_disk.state.id
  lun                = 0
  caching            = "None"
}
