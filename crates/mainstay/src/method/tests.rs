use super::*;

const PROTO: &str = r#"
    syntax = "proto3";
    package shop.v1;
    message M {}
    service Cart {
        rpc Get(M) returns (M) { option idempotency_level = NO_SIDE_EFFECTS; }
        rpc Put(M) returns (M) { option idempotency_level = IDEMPOTENT; }
        rpc Add(M) returns (M);
        rpc List(M) returns (stream M);
        rpc Load(stream M) returns (M);
        rpc Chat(stream M) returns (stream M);
    }
"#;

#[test]
fn shapes_and_idempotency_come_from_the_descriptors() {
    let methods = Methods::new()
        .with_descriptors(&descriptors(PROTO))
        .unwrap();
    for (name, method) in [
        ("Get", Method::unary().idempotent()),
        ("Put", Method::unary().idempotent()),
        ("Add", Method::unary()),
        ("List", Method::server_streaming()),
        ("Load", Method::client_streaming()),
        ("Chat", Method::streaming()),
    ] {
        assert_eq!(methods.get(&format!("/shop.v1.Cart/{name}")), method);
        assert_eq!(
            methods.get(&format!("/be/hind/shop.v1.Cart/{name}")),
            method
        );
    }
}

#[test]
fn a_file_may_have_no_package() {
    let proto = PROTO.replace("package shop.v1;", "");
    let methods = Methods::new()
        .with_descriptors(&descriptors(&proto))
        .unwrap();
    assert_eq!(methods.get("/Cart/Add"), Method::unary());
}

#[test]
fn an_unknown_method_streams_and_must_not_be_called_twice() {
    let methods = Methods::new()
        .with_descriptors(&descriptors(PROTO))
        .unwrap();
    for path in [
        "",
        "/",
        "//",
        "/Cart/Get",
        "/shop.v1.Cart/Get/",
        "/shop.v1.Cart/get",
        "x",
    ] {
        let method = methods.get(path);
        assert_eq!(method, Method::UNKNOWN, "{path:?}");
        assert!(method.streams_requests() && method.streams_responses());
        assert!(!method.is_idempotent());
    }
}

#[test]
fn what_is_said_by_name_is_added_to_the_descriptors() {
    let methods = Methods::new()
        .with_descriptors(&descriptors(PROTO))
        .unwrap();
    let methods = methods
        .with_idempotent("shop.v1.Cart/List")
        .with_method("/shop.v1.Cart/Add", Method::client_streaming())
        .with_idempotent("other.Service/Do");
    assert_eq!(
        methods.get("/shop.v1.Cart/List"),
        Method::server_streaming().idempotent()
    );
    assert_eq!(methods.get("/shop.v1.Cart/Add"), Method::client_streaming());
    assert_eq!(
        methods.get("/other.Service/Do"),
        Method::UNKNOWN.idempotent()
    );
}

#[test]
fn what_is_no_descriptor_set_is_refused() {
    let error = Methods::new().with_descriptors(b"syntax").unwrap_err();
    assert!(error.to_string().starts_with("not a descriptor set: "));
}

fn descriptors(proto: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.proto"), proto).unwrap();
    let set = protox::compile(["shop.proto"], [folder.path()]).unwrap();
    prost::Message::encode_to_vec(&set)
}
