// One machine of Azure with the bridge on it, its database on a disk of its own. main.tf does the same with Terraform; README.md tells how.

@description('Name of the machine; what belongs to it begins with it.')
@minLength(1)
@maxLength(50)
param name string = 'quarantine-bridge'

@description('Region; left out, the resource group\'s.')
param location string = resourceGroup().location

@description('The cloud that the tenant of Defender is in, as in [defender] cloud.')
@allowed(['commercial', 'gcc', 'gcc-high', 'dod'])
param cloud string = 'commercial'

@description('Id of a subnet that is there. It needs a way out to Defender and Entra ID: NAT, a firewall, or publicIp.')
param subnetId string

@description('Address ranges that may reach the service.')
@minLength(1)
param allowedAddresses array

@description('Port of the service, as in [server] listen.')
param port int = 8420

@description('Gives the machine a public address. Only allowedAddresses get in all the same.')
param publicIp bool = false

@description('Public SSH key of the user azureuser. There is no password.')
param sshPublicKey string

@description('Address ranges that may reach SSH; none if not said otherwise.')
param sshAddresses array = []

@description('Size of the machine. It must take Premium SSD.')
param size string = 'Standard_D2as_v5'

@description('GiB of the data disk.')
param diskGb int = 64

@description('Encrypts the disks on their way to storage too. The subscription must have the feature EncryptionAtHost.')
param encryptionAtHost bool = false

@description('Locks the data disk against deletion. Whoever deploys must be allowed to make locks.')
param lockDisk bool = true

@description('https address of the Debian package.')
param packageUrl string

@description('SHA-256 of the Debian package, 64 hex digits.')
@minLength(64)
@maxLength(64)
param packageSha256 string

@description('Text of quarantine-bridge.toml. @CLIENT_ID@ and @CLOUD@ in it are filled in.')
@maxLength(30000)
param configuration string

@description('Name of a Key Vault with the secrets; its access must be by roles. Empty for none.')
param keyVault string = ''

@description('Files in /etc/quarantine-bridge and the names of their secrets in the vault, each as FILE=NAME.')
param secrets array = []

var vaultDns = substring(environment().suffixes.keyvaultDns, startsWith(environment().suffixes.keyvaultDns, '.') ? 1 : 0)
var filledConfiguration = replace(replace(configuration, '@CLIENT_ID@', identity.properties.clientId), '@CLOUD@', cloud)
// One line each, so that it is seen that main.tf fills in the same.
var data1 = replace(loadTextContent('cloud-init.yaml'), '@@CONFIGURATION@@', base64(filledConfiguration))
var data2 = replace(data1, '@@PACKAGE_URL@@', packageUrl)
var data3 = replace(data2, '@@PACKAGE_SHA256@@', packageSha256)
var data4 = replace(data3, '@@CLIENT_ID@@', identity.properties.clientId)
var data5 = replace(data4, '@@VAULT@@', keyVault)
var data6 = replace(data5, '@@VAULT_DNS@@', vaultDns)
var customData = replace(data6, '@@SECRETS@@', join(secrets, ' '))

// It outlives the machine, and so do the roles that are given to it.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
}

resource disk 'Microsoft.Compute/disks@2024-03-02' = {
  name: '${name}-state'
  location: location
  sku: { name: 'Premium_LRS' }
  properties: {
    creationData: { createOption: 'Empty' }
    diskSizeGB: diskGb
    networkAccessPolicy: 'DenyAll'
    publicNetworkAccess: 'Disabled'
  }
}

resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (lockDisk) {
  name: '${name}-state'
  scope: disk
  properties: {
    level: 'CanNotDelete'
    notes: 'The database of quarantine-bridge, with the audit in it.'
  }
}

var serviceRule = {
  name: 'service'
  properties: {
    priority: 100
    direction: 'Inbound'
    access: 'Allow'
    protocol: 'Tcp'
    sourceAddressPrefixes: allowedAddresses
    sourcePortRange: '*'
    destinationAddressPrefix: '*'
    destinationPortRange: string(port)
  }
}
var sshRule = {
  name: 'ssh'
  properties: {
    priority: 110
    direction: 'Inbound'
    access: 'Allow'
    protocol: 'Tcp'
    sourceAddressPrefixes: sshAddresses
    sourcePortRange: '*'
    destinationAddressPrefix: '*'
    destinationPortRange: '22'
  }
}
// Azure itself would let in the whole virtual network.
var nothingElseRule = {
  name: 'nothing-else'
  properties: {
    priority: 4096
    direction: 'Inbound'
    access: 'Deny'
    protocol: '*'
    sourceAddressPrefix: '*'
    sourcePortRange: '*'
    destinationAddressPrefix: '*'
    destinationPortRange: '*'
  }
}

resource securityGroup 'Microsoft.Network/networkSecurityGroups@2023-11-01' = {
  name: name
  location: location
  properties: {
    securityRules: concat([serviceRule], empty(sshAddresses) ? [] : [sshRule], [nothingElseRule])
  }
}

resource publicAddress 'Microsoft.Network/publicIPAddresses@2023-11-01' = if (publicIp) {
  name: name
  location: location
  sku: { name: 'Standard' }
  properties: { publicIPAllocationMethod: 'Static' }
}

resource networkInterface 'Microsoft.Network/networkInterfaces@2023-11-01' = {
  name: name
  location: location
  properties: {
    networkSecurityGroup: { id: securityGroup.id }
    ipConfigurations: [
      {
        name: 'main'
        properties: {
          subnet: { id: subnetId }
          privateIPAllocationMethod: 'Dynamic'
          publicIPAddress: publicIp ? { id: publicAddress.id } : null
        }
      }
    ]
  }
}

resource machine 'Microsoft.Compute/virtualMachines@2024-07-01' = {
  name: name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    hardwareProfile: { vmSize: size }
    securityProfile: {
      securityType: 'TrustedLaunch'
      encryptionAtHost: encryptionAtHost
      uefiSettings: {
        secureBootEnabled: true
        vTpmEnabled: true
      }
    }
    storageProfile: {
      imageReference: {
        publisher: 'Debian'
        offer: 'debian-12'
        sku: '12-gen2'
        version: 'latest'
      }
      osDisk: {
        createOption: 'FromImage'
        deleteOption: 'Delete'
        caching: 'ReadWrite'
        managedDisk: { storageAccountType: 'Premium_LRS' }
      }
      dataDisks: [
        {
          lun: 0
          createOption: 'Attach'
          deleteOption: 'Detach'
          caching: 'None'
          managedDisk: { id: disk.id }
        }
      ]
    }
    osProfile: {
      computerName: name
      adminUsername: 'azureuser'
      customData: base64(customData)
      linuxConfiguration: {
        disablePasswordAuthentication: true
        ssh: {
          publicKeys: [
            {
              path: '/home/azureuser/.ssh/authorized_keys'
              keyData: sshPublicKey
            }
          ]
        }
      }
    }
    networkProfile: {
      networkInterfaces: [
        { id: networkInterface.id }
      ]
    }
    diagnosticsProfile: {
      bootDiagnostics: { enabled: true }
    }
  }
}

@description('Object id of the identity, for assign-roles.sh.')
output principalId string = identity.properties.principalId

@description('Client id of the identity, as [defender] client_id has it.')
output clientId string = identity.properties.clientId

@description('Address of the service.')
output address string = publicIp ? publicAddress!.properties.ipAddress : networkInterface.properties.ipConfigurations[0].properties.privateIPAddress
