variable "name" {
  description = "Name of the machine; what belongs to it begins with it."
  type        = string
  default     = "quarantine-bridge"
  validation {
    condition     = length(var.name) >= 1 && length(var.name) <= 50
    error_message = "1 to 50 characters."
  }
}

variable "resource_group" {
  description = "Name of a resource group that is there."
  type        = string
}

variable "location" {
  description = "Region."
  type        = string
}

variable "cloud" {
  description = "The cloud that the tenant of Defender is in, as in [defender] cloud."
  type        = string
  default     = "commercial"
  validation {
    condition     = contains(["commercial", "gcc", "gcc-high", "dod"], var.cloud)
    error_message = "One of commercial, gcc, gcc-high, dod."
  }
}

variable "subnet_id" {
  description = "Id of a subnet that is there. It needs a way out to Defender and Entra ID: NAT, a firewall, or public_ip."
  type        = string
}

variable "allowed_addresses" {
  description = "Address ranges that may reach the service."
  type        = list(string)
  validation {
    condition     = length(var.allowed_addresses) >= 1
    error_message = "At least one range."
  }
}

variable "port" {
  description = "Port of the service, as in [server] listen."
  type        = number
  default     = 8420
}

variable "public_ip" {
  description = "Gives the machine a public address. Only allowed_addresses get in all the same."
  type        = bool
  default     = false
}

variable "ssh_public_key" {
  description = "Public SSH key of the user azureuser. There is no password."
  type        = string
}

variable "ssh_addresses" {
  description = "Address ranges that may reach SSH; none if not said otherwise."
  type        = list(string)
  default     = []
}

variable "size" {
  description = "Size of the machine. It must take Premium SSD."
  type        = string
  default     = "Standard_D2as_v5"
}

variable "disk_gb" {
  description = "GiB of the data disk."
  type        = number
  default     = 64
}

variable "encryption_at_host" {
  description = "Encrypts the disks on their way to storage too. The subscription must have the feature EncryptionAtHost."
  type        = bool
  default     = false
}

variable "lock_disk" {
  description = "Locks the data disk against deletion. Whoever deploys must be allowed to make locks."
  type        = bool
  default     = true
}

variable "package_url" {
  description = "https address of the Debian package."
  type        = string
}

variable "package_sha256" {
  description = "SHA-256 of the Debian package, 64 hex digits."
  type        = string
  validation {
    condition     = length(var.package_sha256) == 64
    error_message = "64 hex digits."
  }
}

variable "configuration" {
  description = "Text of quarantine-bridge.toml. @CLIENT_ID@ and @CLOUD@ in it are filled in."
  type        = string
  validation {
    condition     = length(var.configuration) <= 30000
    error_message = "30000 characters at most."
  }
}

variable "key_vault" {
  description = "Name of a Key Vault with the secrets; its access must be by roles. Empty for none."
  type        = string
  default     = ""
}

variable "secrets" {
  description = "Files in /etc/quarantine-bridge and the names of their secrets in the vault, each as FILE=NAME."
  type        = list(string)
  default     = []
}
