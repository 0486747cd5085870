//! Entra ID's error numbers: which pass by themselves, and what to do about those that do not. Pure.

/// Errors that pass by themselves (reference, defender-api 7.7).
const TRANSIENT_WORDS: [&str; 2] = ["temporarily_unavailable", "server_error"];

/// The same by number.
const TRANSIENT_NUMBERS: [u32; 7] = [90_006, 90_012, 90_024, 90_033, 90_055, 90_090, 50_196];

/// Numbers, and what to do about them (reference, defender-api 7.7).
const REMEDIES: &[(&[u32], &str)] = &[
    (
        &[7_000_215],
        "the client secret is wrong: put the secret's value into the file of client_secret, not the secret's id, and check \
         that it belongs to this client_id",
    ),
    (
        &[7_000_222],
        "the client secret has ended: make a new one in the app registration and put it into the file of client_secret, \
         or use a managed identity, which has nothing that ends",
    ),
    (
        &[700_016],
        "the tenant does not have this application: check client_id and tenant_id, and that cloud is the tenant's",
    ),
    (&[7_000_112, 70_001], "the application is switched off or not in the tenant: enable it in Entra ID"),
    (
        &[90_002, 900_023, 90_023],
        "there is no such tenant in this cloud: check tenant_id, and that cloud is the tenant's",
    ),
    (&[90_038, 900_382, 900_432], "the tenant is in another cloud: set cloud to the tenant's"),
    (
        &[500_011, 50_001, 650_057],
        "the tenant does not know what the token is for: check that it has Defender for Endpoint, and that cloud and scope \
         are right",
    ),
    (
        &[70_011, 28_002, 1_002_012, 700_022],
        "the scope is not one that an application can ask for: leave scope out, or let it end in /.default",
    ),
    (&[9_001_023, 90_130], "tenant_id names no tenant of its own: write the tenant's id, a GUID, not common"),
    (
        &[700_027],
        "Entra ID does not know the certificate or could not check the assertion's signature: register the certificate with \
         the thumbprint that `check` tells in the app registration, and compare client_id",
    ),
    (
        &[700_024],
        "the assertion is outside its time: set this machine's clock, or see why the token file is not renewed",
    ),
    (
        &[50_027],
        "the assertion is no token: see what is in the token file, or report a bug if a certificate is used",
    ),
    (&[7_000_218], "nothing proved who asks: report a bug"),
    (&[700_025], "the application is a public client: in the app registration, make it a confidential one"),
    (
        &[700_211],
        "no federated credential has the token's issuer: compare the issuer in the app registration with the token's iss, \
         letter by letter; a new one takes some minutes to be known",
    ),
    (
        &[700_212],
        "no federated credential has the token's audience: it is api://AzureADTokenExchange, or \
         api://AzureADTokenExchangeUSGov in US Government clouds",
    ),
    (
        &[700_213, 7_002_138],
        "no federated credential has the token's subject: compare the subject in the app registration with the token's sub, \
         upper and lower case too; a new one takes some minutes to be known",
    ),
    (
        &[70_021, 700_214],
        "no federated credential fits the token: compare issuer, subject and audience in the app registration with the \
         token's; a new one takes some minutes to be known",
    ),
    (
        &[53_003, 530_032],
        "Conditional Access blocks it: allow this workload identity from this address, or leave it out of the policy",
    ),
    (&[50_034], "there is no such account in the tenant: check client_id and tenant_id"),
    (
        &[65_001, 650_052],
        "consent is missing: have an administrator grant consent to the application's permissions",
    ),
];

/// What to do where the number says nothing of its own.
const OTHERWISE: &str =
    "check tenant_id, client_id and the credential in [defender], and that admin consent was given";

/// Returns the number with which a description begins: `AADSTS7000215: Invalid client secret provided.`
pub(super) fn number(description: &str) -> Option<u32> {
    let rest = description.trim_start().strip_prefix("AADSTS")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Says whether an error passes by itself, so that it is worth asking again.
pub(super) fn passes(error: &str, description: &str) -> bool {
    TRANSIENT_WORDS.contains(&error)
        || number(description).is_some_and(|number| TRANSIENT_NUMBERS.contains(&number))
}

/// Returns what a person should do about an error.
pub fn remedy(description: &str) -> &'static str {
    let number = number(description);
    let known = REMEDIES.iter().find(|(numbers, _)| number.is_some_and(|number| numbers.contains(&number)));
    known.map_or(OTHERWISE, |(_, remedy)| remedy)
}
