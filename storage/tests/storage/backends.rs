//! The conformance suite against memory and a folder; the S3 server's crate runs it against S3.

use leoma_storage::{Bucket, BucketConfig, Key, Secret, StoreError, conformance};

fn folder(root: &std::path::Path) -> BucketConfig {
    BucketConfig {
        endpoint: format!("file://{}", root.display()),
        bucket: "leoma-test".to_owned(),
        region: "auto".to_owned(),
        access_key: Secret::default(),
        secret_key: Secret::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    conformance::check(&Bucket::in_memory("test")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_folder() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("leoma-test")).unwrap();
    conformance::check(&folder(root.path()).open().unwrap()).await;
}

/// `LEOMA_TEST_S3='{"endpoint":…,"bucket":…,"access_key":…,"secret_key":…}'` names an empty bucket
/// of any S3 server: MinIO, moto, or R2 itself before one relies on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_s3_server_of_your_own() {
    let Ok(text) = std::env::var("LEOMA_TEST_S3") else {
        println!("skipped: LEOMA_TEST_S3 names no bucket");
        return;
    };
    let config: BucketConfig =
        serde_json::from_str(&text).expect("LEOMA_TEST_S3 is the JSON of a bucket");
    conformance::check(&config.open().unwrap()).await;
}

#[tokio::test]
async fn a_folder_that_went_away_is_not_an_empty_bucket() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("leoma-test");
    std::fs::create_dir(&path).unwrap();
    let bucket = folder(root.path()).open().unwrap();
    let key: Key = "7/metadata.json".parse().unwrap();
    assert_eq!(bucket.get(&key, 10).await.unwrap(), None);
    std::fs::remove_dir(&path).unwrap();
    for error in
        [bucket.get(&key, 10).await.unwrap_err(), bucket.list(None, None, 10).await.unwrap_err()]
    {
        assert!(matches!(error, StoreError::Misconfigured { .. }), "{error}");
        assert!(error.to_string().contains("folder does not exist"), "{error}");
    }
    assert!(bucket.presign_get(&key, std::time::Duration::from_secs(60)).await.is_err());
}
